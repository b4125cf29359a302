"""The seats of VMs: whether a VM can be bound to a person. Written by bind, free, release and drain alone.

Called by `api` and by the controller's commit. Lock order: pool (advisory), VM rows by name, assignment, seat.
"""

from collections.abc import Sequence

from schemas.vm import Seat
from store.db import Connection, fetch, fetch_one

LOCK_POOL = "SELECT pg_advisory_xact_lock(7, hashtext(%s))"


async def lock_pool(conn: Connection, pool: str) -> None:
    """Whatever gives, takes or drains seats of a pool waits its turn here; held to the end of the transaction.

    A statement of its own: taken inside the statement that reads the seats, its snapshot would be older than the lock.
    """
    await conn.execute(LOCK_POOL, (pool,))


LOCK_VMS = "SELECT FROM vm WHERE hostname = ANY(%s) ORDER BY hostname FOR NO KEY UPDATE"


async def lock_vms(conn: Connection, hostnames: Sequence[str]) -> None:
    """Whoever writes several rows of `vm`, or a row and then its seat, waits here first: one order, so no deadlock.

    Reports of VMs write many rows at once, too, in the same order.
    """
    await conn.execute(LOCK_VMS, (list(hostnames),))


FREE = """
WITH polling AS (
    -- Locked: one that is being cordoned or ended is looked at again once that is done.
    SELECT s.hostname, v.ready_at IS NULL AS first FROM vm v JOIN seat s USING (hostname)
     WHERE v.hostname = ANY(%s) AND s.state = 'closed' AND v.phase = 'live' AND NOT v.cordoned
       AND (v.renewing IS NULL OR v.renewed_at IS NOT NULL)
       AND (v.reboot_asked_at IS NULL OR v.rebooted_at >= v.reboot_asked_at OR v.reboot_asked_at < now() - interval '10 minutes')
     ORDER BY v.hostname FOR NO KEY UPDATE OF v
), freed AS (
    UPDATE seat s SET state = 'free', free_since = now() FROM polling p
     WHERE s.hostname = p.hostname AND s.state = 'closed'
    RETURNING s.hostname, s.pool, p.first
), ready AS (
    UPDATE vm v SET ready_at = coalesce(v.ready_at, now()), renewing = NULL, renewing_since = NULL, version = v.version + 1
      FROM freed f WHERE v.hostname = f.hostname AND (v.ready_at IS NULL OR v.renewing IS NOT NULL)
)
SELECT hostname, pool, first FROM freed
"""


async def free_seats(conn: Connection, hostnames: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Open the closed seats of VMs that ask for work; (host name, pool, whether it became ready for the first time).

    Only live VMs that are not cordoned are freed. No pool lock: a seat that nobody can be bound to yet cannot race with
    a binding, and a drain that comes first leaves nothing to free.
    """
    return [(row["hostname"], row["pool"], row["first"]) for row in await fetch(conn, FREE, (list(hostnames),))]


DRAIN = """
UPDATE seat SET state = 'draining', free_since = NULL
 WHERE hostname = %s AND state IN ('closed', 'free') RETURNING hostname
"""


async def drain_seat(conn: Connection, pool: str, hostname: str) -> bool:
    """From now on nobody is bound to this VM, for ever. False when a person has it: then nothing is changed."""
    await lock_pool(conn, pool)
    return await fetch_one(conn, DRAIN, (hostname,)) is not None


CLOSE = "UPDATE seat SET state = 'closed', free_since = NULL WHERE hostname = %s AND state = 'free'"


async def close_seat(conn: Connection, pool: str, hostname: str) -> None:
    """A free seat is not given for now (its VM is cordoned); the VM's next poll opens it when the cordon is gone."""
    await lock_pool(conn, pool)
    await conn.execute(CLOSE, (hostname,))


READ = "SELECT state FROM seat WHERE hostname = %s"


async def read_seat(conn: Connection, hostname: str) -> Seat | None:
    """The state of one seat, or None when there is no such VM."""
    row = await fetch_one(conn, READ, (hostname,))
    return Seat(row["state"]) if row else None


COUNT_FREE = "SELECT count(*) AS free FROM seat WHERE state = 'free' AND (%(pool)s::text IS NULL OR pool = %(pool)s)"


async def count_free(conn: Connection, pool: str | None = None) -> int:
    """How many VMs a person could get right now, of one pool or of all."""
    row = await fetch_one(conn, COUNT_FREE, {"pool": pool})
    return int(row["free"]) if row else 0


LONGEST_FREE = "SELECT pool FROM seat WHERE state = 'free' AND pool = ANY(%s) ORDER BY free_since LIMIT 1"


async def read_longest_free(conn: Connection, pools: Sequence[str]) -> str | None:
    """Which of these pools has the VM that has been free for longest; None while all are taken."""
    row = await fetch_one(conn, LONGEST_FREE, (list(pools),))
    return row["pool"] if row else None


FREE_BY_POOL = "SELECT pool, count(*) AS free FROM seat WHERE state = 'free' GROUP BY pool"


async def count_free_by_pool(conn: Connection) -> dict[str, int]:
    """The same by pool; a pool without a free VM is left out."""
    return {row["pool"]: int(row["free"]) for row in await fetch(conn, FREE_BY_POOL)}
