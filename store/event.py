"""Events: the append-only account of who did what to whom, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from schemas.status import Event
from store.db import Connection, fetch, notify

CHANNEL = "event"
TERRAFORM = "terraform"  # the actor of each resource that it makes and ends
INSERT = """
INSERT INTO event (actor, subject, reason, message, detail)
SELECT %(actor)s, e.subject, e.reason, e.message, %(detail)s
  FROM unnest(%(subjects)s::text[], %(reasons)s::text[], %(messages)s::text[]) WITH ORDINALITY AS e (subject, reason, message, n) ORDER BY n
"""


async def write_event(
    conn: Connection, actor: str, subject: str, reason: str, message: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Append one event in the caller's transaction and wake who follows them."""
    await write_events(conn, actor, [(subject, reason, message)], detail)


async def write_events(
    conn: Connection, actor: str, events: Sequence[tuple[str, str, str]], detail: Mapping[str, Any] | None = None
) -> None:
    """The same for several (subject, reason, message) with one detail, in their order."""
    subjects, reasons, messages = ([event[part] for event in events] for part in range(3))
    told = {"actor": actor, "subjects": subjects, "reasons": reasons, "messages": messages}
    await conn.execute(INSERT, {**told, "detail": Jsonb(dict(detail or {}))})
    await notify(conn, CHANNEL)


WANTED = """(%(subject)s::text IS NULL OR subject = %(subject)s) AND (%(before)s::bigint IS NULL OR id < %(before)s)
   AND (%(but)s::text IS NULL OR actor <> %(but)s)
   AND (%(pool)s::text IS NULL OR subject = 'pool/' || %(pool)s
        OR starts_with(subject, 'vm/') AND (SELECT vm.pool FROM vm WHERE hostname = substr(subject, 4)) = %(pool)s)"""
READ = f"SELECT * FROM event WHERE id > %(after)s AND {WANTED} ORDER BY id LIMIT %(limit)s"
READ_NEWEST = f"""
SELECT * FROM (SELECT * FROM event WHERE {WANTED} ORDER BY id DESC LIMIT %(limit)s) AS newest ORDER BY id
"""


async def read_events(
    conn: Connection,
    *,
    after: int | None = None,
    subject: str | None = None,
    pool: str | None = None,
    before: int | None = None,
    but: str | None = None,
    limit: int = 100,
) -> Sequence[Event]:
    """Events in order: those after a cursor, or without one the newest `limit` (`before` another); of a subject, or of a pool with its VMs.

    `but` leaves out those of one actor.
    """
    sql = READ_NEWEST if after is None else READ
    params = {"after": after, "subject": subject, "pool": pool, "before": before, "but": but, "limit": limit}
    return [Event(**row) for row in await fetch(conn, sql, params)]
