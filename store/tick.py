"""Snapshot and decision of the ticks that changed something, compressed; kept for 14 days."""

import zlib

from schemas.decision import Decision
from schemas.snapshot import Snapshot
from store.db import Connection, fetch_one

INSERT = "INSERT INTO tick (snapshot, decision) VALUES (%s, %s) RETURNING id"
EXPIRE = "DELETE FROM tick WHERE at < now() - interval '14 days'"


async def write_tick(conn: Connection, snapshot: Snapshot, decision: Decision) -> int:
    """Store what was seen and what was decided; the number by which it can be replayed."""
    row = await fetch_one(conn, INSERT, (_pack(snapshot.model_dump_json()), _pack(decision.model_dump_json())))
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


def _pack(text: str) -> bytes:
    return zlib.compress(text.encode(), level=1)
