"""Binding people to VMs: T1 records who asks (one statement), T2 seats the first in line (the only binder), release ends it.

Called by `api` after each request, ready and release, and by the controller at each tick. What fails instead, and why
the lock is a statement of its own, is a matter of record: SKIP LOCKED strands people beside idle VMs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.assignment import Assignment, AssignmentStatus
from store.db import Connection, fetch, fetch_one, notify
from store.event import write_event
from store.seat import lock_pool

CHANNEL = "assignment"  # key: the host name that was given a person, or whose person has a newer command
RECONCILE = "reconcile"  # key: the pool that the controller should look at

COLUMNS = """id, pool, email, status, hostname, crd_code, pin, code_version, delivered_version, created_at,
             bound_at, ended_at, end_reason"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks for what. `pin` is what the person typed, None when left out; `proven` the assignment that a cookie names."""

    pool: str
    email: str
    crd_code: str
    drawn_pin: str
    pin: str | None = None
    proven: UUID | None = None
    named: bool = True  # the person chose the pool; otherwise an open assignment in another one is as good
    open: bool = False  # the email alone is proof (`repeat: open`)


REQUEST = f"""
INSERT INTO assignment AS a (pool, email, crd_code, pin)
VALUES (%(pool)s, %(email)s, %(crd_code)s, coalesce(%(pin)s, %(drawn_pin)s))
ON CONFLICT (email) WHERE status <> 'ended' DO UPDATE
   SET crd_code = excluded.crd_code, seen_at = now(),
       code_version = a.code_version + (a.crd_code <> excluded.crd_code)::int
 WHERE (a.pool = excluded.pool OR NOT %(named)s)
   AND (%(open)s OR a.id = %(proven)s OR a.pin = %(pin)s
        -- A double click: the same one-time code again, before the first answer could set its cookie.
        OR (a.crd_code = excluded.crd_code AND a.created_at > now() - interval '1 minute'))
RETURNING {COLUMNS}
"""


async def request_seat(conn: Connection, claim: Claim) -> Assignment | None:
    """T1, a transaction of its own: the person's one open assignment, made or renewed.

    None when the email has an open assignment that the claim does not prove to be its own, or one in another pool;
    then nothing was changed. A new code of a seated person wakes the held call of its VM.
    """
    row = await fetch_one(conn, REQUEST, _params(claim))
    if row is None:
        return None
    assignment = Assignment(**row)
    if assignment.hostname and assignment.delivered_version < assignment.code_version:
        await notify(conn, CHANNEL, assignment.hostname)
    return assignment


IN_ANOTHER_POOL = """
SELECT pool FROM assignment
 WHERE email = %(email)s AND status <> 'ended' AND pool <> %(pool)s AND (%(open)s OR id = %(proven)s OR pin = %(pin)s)
"""


async def read_other_pool(conn: Connection, claim: Claim) -> str | None:
    """The other pool in which the person, proven to be the same, has an open assignment."""
    row = await fetch_one(conn, IN_ANOTHER_POOL, _params(claim))
    return row["pool"] if row else None


BATCH = 100
BIND = f"""
WITH w AS (SELECT id, row_number() OVER (ORDER BY priority, seq) AS n
             FROM (SELECT id, priority, seq FROM assignment WHERE pool = %(pool)s AND status = 'waiting'
                    ORDER BY priority, seq LIMIT {BATCH}) AS first),
     s AS (SELECT hostname, row_number() OVER (ORDER BY free_since, hostname) AS n
             FROM (SELECT hostname, free_since FROM seat WHERE pool = %(pool)s AND state = 'free'
                    ORDER BY free_since, hostname LIMIT (SELECT count(*) FROM w)) AS longest),
     t AS (UPDATE seat SET state = 'taken', assignment_id = w.id, free_since = NULL
             FROM w JOIN s USING (n) WHERE seat.hostname = s.hostname AND seat.state = 'free'
           RETURNING seat.hostname, w.id),
     bound AS (UPDATE assignment a SET status = 'active', hostname = t.hostname, bound_at = now()
                 FROM t WHERE a.id = t.id AND a.status = 'waiting' RETURNING a.hostname),
     told AS (INSERT INTO event (actor, subject, reason, message)
              SELECT 'api', 'vm/' || hostname, 'Assigned', 'given to the first in line of pool ' || %(pool)s FROM bound)
SELECT hostname, pg_notify('{CHANNEL}', hostname), pg_notify('event', '') FROM bound
"""


async def bind_waiting(conn: Connection, pool: str) -> list[str]:
    """T2, in a transaction of its own: the first in line get the VMs that have been free longest; their host names.

    At most `BATCH` at a time: call again while as many come back.
    """
    await lock_pool(conn, pool)
    return [row["hostname"] for row in await fetch(conn, BIND, {"pool": pool})]


BINDABLE = """
SELECT DISTINCT pool FROM assignment a
 WHERE status = 'waiting' AND EXISTS (SELECT FROM seat s WHERE s.pool = a.pool AND s.state = 'free') ORDER BY pool
"""


async def read_bindable(conn: Connection) -> list[str]:
    """Pools in which somebody waits while a VM is free: a binding that was cut short, and is made up for by each tick."""
    return [row["pool"] for row in await fetch(conn, BINDABLE)]


END = """
UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = %(reason)s
 WHERE hostname = %(hostname)s AND status IN ('offered', 'active') RETURNING id
"""
VACATE = """
UPDATE seat SET state = 'draining', assignment_id = NULL, free_since = NULL
 WHERE hostname = %(hostname)s AND state = 'taken' RETURNING hostname
"""


async def release_vm(conn: Connection, pool: str, hostname: str, actor: str, reason: str) -> bool:
    """End the assignment of a VM; the VM is then replaced by a clean one. False when nobody had it.

    Wakes the controller, and the VM's held call if there is one.
    """
    await lock_pool(conn, pool)
    ended = await fetch_one(conn, END, {"hostname": hostname, "reason": reason})
    vacated = await fetch_one(conn, VACATE, {"hostname": hostname})
    if ended is None and vacated is None:
        return False
    await write_event(conn, actor, f"vm/{hostname}", "Released", f"{reason}; the VM is replaced by a clean one")
    await notify(conn, RECONCILE, pool)
    await notify(conn, CHANNEL, hostname)
    return True


READ = f"SELECT {COLUMNS} FROM assignment WHERE id = %s"


async def read_assignment(conn: Connection, assignment_id: UUID) -> Assignment | None:
    """One assignment by its id."""
    row = await fetch_one(conn, READ, (assignment_id,))
    return Assignment(**row) if row else None


FIND = f"SELECT {COLUMNS} FROM assignment WHERE email = %s AND pin = %s AND status <> 'ended'"


async def find_assignment(conn: Connection, email: str, pin: str) -> Assignment | None:
    """The open assignment of a person who knows its PIN. The caller limits how often somebody may guess."""
    row = await fetch_one(conn, FIND, (email, pin))
    return Assignment(**row) if row else None


LEAVE = """
UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = %(reason)s
 WHERE id = %(id)s AND status = 'waiting' RETURNING pool
"""


async def leave_line(conn: Connection, assignment_id: UUID, reason: str) -> bool:
    """Give up a place in line; False when it has a VM by now, or has ended."""
    left = await fetch_one(conn, LEAVE, {"id": assignment_id, "reason": reason})
    if left:
        await notify(conn, RECONCILE, left["pool"])
    return left is not None


@dataclass(frozen=True, slots=True)
class Errand:
    """What there is to tell a VM that asks: its person's code and PIN, or nothing yet; `ended`: it will never have any."""

    hostname: str
    ended: bool
    crd_code: str | None
    pin: str | None


ERRANDS = """
SELECT v.hostname, v.phase IN ('lost', 'gone') AS ended, a.crd_code, a.pin
  FROM vm v LEFT JOIN assignment a ON a.hostname = v.hostname AND a.status = 'active'
 WHERE v.hostname = ANY(%s)
"""


async def read_errands(conn: Connection, hostnames: Sequence[str]) -> list[Errand]:
    """What to tell each of these VMs; of a draining one nothing new will come, but its call does no harm."""
    return [Errand(**row) for row in await fetch(conn, ERRANDS, (list(hostnames),))]


HANDED_OVER = """
UPDATE assignment a SET delivered_version = a.code_version FROM vm v
 WHERE a.hostname = ANY(%s) AND a.status = 'active' AND v.hostname = a.hostname AND NOT v.reporter
   AND a.delivered_version < a.code_version
"""


async def record_handed_over(conn: Connection, hostnames: Sequence[str]) -> None:
    """Note that these VMs were told the newest command; a VM with our reporter says so itself once the desktop is up."""
    await conn.execute(HANDED_OVER, (list(hostnames),))


DELIVERED = """
UPDATE assignment SET delivered_version = %(version)s
 WHERE hostname = %(hostname)s AND status = 'active' AND delivered_version < %(version)s AND code_version >= %(version)s
"""


async def record_delivered(conn: Connection, hostname: str, version: int) -> None:
    """The reporter saw the desktop of command number `version` running."""
    await conn.execute(DELIVERED, {"hostname": hostname, "version": version})


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands in line: `position` from 1; `eta_s` None while no VM is on its way or none ever became ready."""

    position: int
    eta_s: int | None


PLACE = """
WITH me AS (SELECT pool, priority, seq FROM assignment WHERE id = %s AND status = 'waiting'),
     ahead AS (SELECT count(*) AS n FROM assignment a, me
                WHERE a.pool = me.pool AND a.status = 'waiting' AND (a.priority, a.seq) <= (me.priority, me.seq)),
     typical AS (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS took
                   FROM (SELECT v.ready_at - v.created_at AS took FROM vm v, me
                          WHERE v.pool = me.pool AND v.ready_at IS NOT NULL ORDER BY v.ready_at DESC LIMIT 20) AS recent),
     coming AS (SELECT v.created_at, row_number() OVER (ORDER BY v.created_at) AS n FROM vm v, me
                 WHERE v.pool = me.pool AND v.phase IN ('planned', 'live') AND v.ready_at IS NULL)
SELECT ahead.n AS position,
       CASE WHEN coming.created_at + typical.took IS NOT NULL  -- greatest() would take 0 for unknown
            THEN greatest(0, ceil(extract(epoch FROM coming.created_at + typical.took - now())))::int END AS eta_s
  FROM me, ahead CROSS JOIN typical LEFT JOIN coming ON coming.n = ahead.n
"""


async def read_place(conn: Connection, assignment_id: UUID) -> Place | None:
    """The place of a waiting assignment, its time estimated from the median start-up of the pool's last 20 VMs."""
    row = await fetch_one(conn, PLACE, (assignment_id,))
    return Place(row["position"], row["eta_s"]) if row else None


def is_seated(assignment: Assignment) -> bool:
    """Whether a VM is held for it or given to it."""
    return assignment.status in (AssignmentStatus.OFFERED, AssignmentStatus.ACTIVE)


def _params(claim: Claim) -> dict[str, object]:
    return {name: getattr(claim, name) for name in Claim.__slots__}
