"""Snapshot and decision of the ticks that changed something, compressed; kept for 14 days."""

import zlib
from dataclasses import dataclass
from datetime import datetime

from schemas.decision import Decision
from schemas.snapshot import Snapshot
from store.db import Connection, fetch, fetch_one

INSERT = "INSERT INTO tick (snapshot, decision, version, actions) VALUES (%s, %s, %s, %s) RETURNING id"
EXPIRE = "DELETE FROM tick WHERE at < now() - interval '14 days'"


async def write_tick(conn: Connection, snapshot: Snapshot, decision: Decision) -> int:
    """Store what was seen and what was decided; the number by which it can be replayed."""
    packed = _pack(snapshot.model_dump_json()), _pack(decision.model_dump_json())
    row = await fetch_one(conn, INSERT, (*packed, decision.version, len(decision.actions)))
    assert row is not None  # an INSERT … RETURNING answers
    await conn.execute(EXPIRE)
    return int(row["id"])


READ = "SELECT snapshot, decision FROM tick WHERE id = %s"


async def read_tick(conn: Connection, tick_id: int) -> tuple[Snapshot, Decision] | None:
    """What a tick saw and decided, or None when it was never stored or is older than 14 days."""
    row = await fetch_one(conn, READ, (tick_id,))
    if row is None:
        return None
    return (
        Snapshot.model_validate_json(zlib.decompress(row["snapshot"])),
        Decision.model_validate_json(zlib.decompress(row["decision"])),
    )


@dataclass(frozen=True, slots=True)
class TickRow:
    """A stored tick without what it saw and decided; two figures are None for those of older releases."""

    id: int
    at: datetime
    version: int | None
    actions: int | None


LIST = """
SELECT id, at, version, actions FROM tick
 WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s
"""


async def list_ticks(conn: Connection, *, before: int | None = None, limit: int = 100) -> list[TickRow]:
    """Ticks, newest first; `before` is the cursor."""
    return [TickRow(**row) for row in await fetch(conn, LIST, {"before": before, "limit": limit})]


def _pack(text: str) -> bytes:
    return zlib.compress(text.encode(), level=1)
