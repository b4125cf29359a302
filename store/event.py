"""Events: the append-only account of who did what to whom, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from schemas.status import Event
from store.db import Connection, fetch, notify

CHANNEL = "event"
INSERT = "INSERT INTO event (actor, subject, reason, message, detail) VALUES (%s, %s, %s, %s, %s)"


async def write_event(
    conn: Connection, actor: str, subject: str, reason: str, message: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Append one event in the caller's transaction and wake who follows them."""
    await conn.execute(INSERT, (actor, subject, reason, message, Jsonb(dict(detail or {}))))
    await notify(conn, CHANNEL)


READ = """
SELECT * FROM event
 WHERE id > %(after)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
 ORDER BY id LIMIT %(limit)s
"""
READ_NEWEST = """
SELECT * FROM (SELECT * FROM event WHERE %(subject)s::text IS NULL OR subject = %(subject)s
                ORDER BY id DESC LIMIT %(limit)s) AS newest ORDER BY id
"""


async def read_events(
    conn: Connection, *, after: int | None = None, subject: str | None = None, limit: int = 100
) -> Sequence[Event]:
    """Events in order: those after a cursor, or without one the newest `limit`."""
    sql = READ_NEWEST if after is None else READ
    rows = await fetch(conn, sql, {"after": after, "subject": subject, "limit": limit})
    return [Event(**row) for row in rows]
