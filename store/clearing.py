"""Ends every assignment of a pool at once, those that wait too. Called by the API when an admin destroys a pool's VMs."""

from store.assignment import CHANNEL, RECONCILE
from store.db import Connection, fetch_one, notify
from store.event import write_event
from store.seat import lock_pool

CLEAR = f"""
WITH ended AS (
    UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = %(reason)s
     WHERE pool = %(pool)s AND status <> 'ended' RETURNING hostname
), vacated AS (
    UPDATE seat SET state = 'draining', assignment_id = NULL, free_since = NULL
     WHERE pool = %(pool)s AND state = 'taken' RETURNING hostname
), told AS (
    INSERT INTO event (actor, subject, reason, message)
    SELECT %(actor)s, 'vm/' || hostname, 'Released', %(reason)s FROM vacated
), woken AS (
    SELECT pg_notify('{CHANNEL}', hostname) FROM vacated
)
SELECT (SELECT count(*) FROM ended) AS ended, (SELECT count(*) FROM woken) AS woken
"""


async def clear_pool(conn: Connection, pool: str, actor: str, reason: str) -> int:
    """How many assignments ended; their VMs drain. Wakes the controller, and the held calls of the VMs."""
    await lock_pool(conn, pool)
    row = await fetch_one(conn, CLEAR, {"pool": pool, "actor": actor, "reason": reason})
    assert row is not None  # a SELECT of counts answers
    await write_event(conn, actor, f"pool/{pool}", "Destroyed", f"{reason}; assignments ended: {row['ended']}")
    await notify(conn, RECONCILE, pool)
    return int(row["ended"])
