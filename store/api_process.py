"""Which API processes are up, and since when: a VM's silence counts only while somebody could hear it."""

from uuid import UUID

from store.db import Connection

SEEN = """
INSERT INTO api_process AS p (id, up_since, seen_at) VALUES (%s, now(), now())
ON CONFLICT (id) DO UPDATE
   -- After a gap longer than readers believe, nobody was there to hear: it counts as a new start.
   SET up_since = CASE WHEN p.seen_at < now() - interval '30 seconds' THEN now() ELSE p.up_since END, seen_at = now()
"""
FORGET_OLD = "DELETE FROM api_process WHERE seen_at < now() - interval '1 hour'"


async def report_up(conn: Connection, process: UUID) -> None:
    """This process answers calls; to be repeated every few seconds (30 s without a word count as down)."""
    await conn.execute(SEEN, (process,))
    await conn.execute(FORGET_OLD)


DOWN = "DELETE FROM api_process WHERE id = %s"


async def report_down(conn: Connection, process: UUID) -> None:
    """This process has stopped."""
    await conn.execute(DOWN, (process,))
