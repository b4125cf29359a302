"""Deadlines and warnings of sessions, and their end by policy. Called by `controller.commit` inside its fenced transaction.

Lock order as everywhere: pool, VM rows, assignment, seat; the caller holds the first two.
"""

from collections.abc import Sequence

from schemas.decision import EndAssignment, SetSession
from store.assignment import CHANNEL
from store.db import Connection, fetch, notify
from store.renewal import vacate_seats

SET = """
UPDATE assignment a SET ends_at = coalesce(a.ends_at, e.ends_at), warning = e.warning, warning_ends_at = e.warning_ends_at
  FROM unnest(%(hostname)s::text[], %(ends_at)s::timestamptz[], %(warning)s::text[], %(warning_ends_at)s::timestamptz[])
       AS e (hostname, ends_at, warning, warning_ends_at)
 WHERE a.hostname = e.hostname AND a.status = 'active' RETURNING a.hostname
"""


async def set_sessions(conn: Connection, sessions: Sequence[SetSession]) -> list[str]:
    """What their people are told from now on. A deadline that is there already stays: somebody may have extended it."""
    names = ("hostname", "ends_at", "warning", "warning_ends_at")
    rows = await fetch(conn, SET, {name: [getattr(one, name) for one in sessions] for name in names})
    return await _told(conn, [row["hostname"] for row in rows])


# Of `a`, an assignment whose VM is given up: it ends, or (`e.moves`) its person waits for another VM before all who are on no roster.
# The command was for one use, so that VM is offered until a fresh one comes.
GIVE_UP = """
status = CASE WHEN e.moves THEN 'waiting' ELSE 'ended' END,
ended_at = CASE WHEN NOT e.moves THEN now() END, end_reason = CASE WHEN NOT e.moves THEN e.reason END,
hostname = CASE WHEN NOT e.moves THEN a.hostname END, bound_at = CASE WHEN NOT e.moves THEN a.bound_at END,
offered_until = NULL, lapsed = false, code_at = CASE WHEN NOT e.moves THEN a.code_at END,
priority = CASE WHEN e.moves THEN least(a.priority, 50) ELSE a.priority END,
warning = CASE WHEN e.moves THEN e.reason || ': you are first in line for another VM' ELSE a.warning END, warning_ends_at = NULL
"""

END = f"""
WITH e AS (SELECT * FROM unnest(%(hostname)s::text[], %(ends_at)s::timestamptz[], %(reason)s::text[], %(moves)s::bool[])
                    AS e (hostname, ends_at, reason, moves)),
     a AS (UPDATE assignment a SET {GIVE_UP} FROM e
            WHERE a.hostname = e.hostname AND a.status = 'active' AND a.warning_ends_at <= now()
              AND a.ends_at IS NOT DISTINCT FROM e.ends_at
        RETURNING e.hostname, e.moves)
SELECT hostname, moves FROM a
"""


async def end_sessions(conn: Connection, ends: Sequence[EndAssignment]) -> list[str]:
    """Ended (or moved on), unless the warning was taken back or the deadline pushed meanwhile; what becomes of the VM, `session.after` says.

    Who is moved on leaves a VM that does not work: it is replaced.
    """
    names = ("hostname", "ends_at", "reason", "moves")
    rows = await fetch(conn, END, {name: [getattr(one, name) for one in ends] for name in names})
    await vacate_seats(conn, [row["hostname"] for row in rows if not row["moves"]])
    await vacate_seats(conn, [row["hostname"] for row in rows if row["moves"]], renew=False)
    return await _told(conn, [row["hostname"] for row in rows])


async def _told(conn: Connection, hostnames: list[str]) -> list[str]:
    for hostname in hostnames:
        await notify(conn, CHANNEL, hostname)
    return hostnames
