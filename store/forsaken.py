"""Ends requests in line that nobody stands behind any more, so that they ask for VMs no longer.

Called by the controller at each tick. Silence counts only while an API process was up to hear; what an admin asked for stays.
"""

from store.assignment import RECONCILE
from store.db import Connection, fetch, notify
from store.event import write_event
from store.seat import lock_pool

GONE = "interval '30 minutes'"  # without a word from the person's page; long enough to look after what one came for
LONGEST = "interval '1 day'"  # with a page that is open, and no newer command

UP_SINCE = "coalesce((SELECT min(up_since) FROM api_process WHERE seen_at > now() - interval '30 seconds'), 'infinity')"
REASON = f"""
CASE WHEN seen_at < now() - {GONE} THEN 'its page was not open for 30 minutes; ask again to get in line'
     WHEN lapsed AND coalesce(offered_until, code_at) < now() - {GONE}
     THEN 'a VM was held for it and no fresh command came for 30 minutes; ask again with one'
     WHEN code_at < now() - {LONGEST} THEN 'it waited for a day without a newer command; ask again with one' END
"""
FORSAKEN = f"status = 'waiting' AND NOT held AND ({REASON}) IS NOT NULL"
READ = f"SELECT DISTINCT pool FROM assignment WHERE {FORSAKEN} AND {UP_SINCE} < now() - {GONE} ORDER BY pool"


async def read_forsaken(conn: Connection) -> list[str]:
    """The pools in whose lines there are such requests."""
    return [row["pool"] for row in await fetch(conn, READ)]


END = f"""
WITH ended AS (
    UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = {REASON}
     WHERE pool = %s AND {FORSAKEN} RETURNING end_reason
)
SELECT end_reason AS reason, count(*)::int AS people FROM ended GROUP BY end_reason ORDER BY end_reason
"""


async def end_forsaken(conn: Connection, pool: str) -> int:
    """How many ended, each with its reason for its person; events name nobody."""
    await lock_pool(conn, pool)
    ended = await fetch(conn, END, (pool,))
    for row in ended:
        message = f"requests in line that ended: {row['people']}; {row['reason']}"
        await write_event(conn, "controller", f"pool/{pool}", "WaitEnded", message)
    if ended:
        await notify(conn, RECONCILE, pool)
    return sum(row["people"] for row in ended)
