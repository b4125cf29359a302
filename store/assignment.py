"""Binding people to VMs: T1 records who asks (one statement), T2 seats the first in line (the only binder), release ends it.

Called by `api` after each request, ready and release, and by the controller at each tick. What fails instead, and why
the lock is a statement of its own, is a matter of record: SKIP LOCKED strands people beside idle VMs. Whose command has
probably expired is offered the VM instead of given it, until `seat_hold` (lablink.yaml) runs out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.assignment import Assignment, AssignmentStatus
from store.assignment_tag import recognise
from store.course import EXPECTED, reserve_seats
from store.db import Connection, fetch, fetch_one, notify
from store.event import write_event
from store.renewal import REPLACED, vacate_seats
from store.seat import lock_pool, lock_vms

CHANNEL = "assignment"  # key: the host name that was given a person, or whose person has a newer command
RECONCILE = "reconcile"  # key: the pool that the controller should look at

FRESH = "interval '4 minutes'"  # a one-time code works for about five, and somebody has to take it to its VM
SILENT = "interval '2 minutes'"  # without a word from the person's page: passed over, the place is kept

COLUMNS = """id, seq, pool, email, status, hostname, crd_code, pin, code_version, delivered_version, held, lapsed,
             created_at, code_at, bound_at, offered_until, ends_at, warning, ended_at, end_reason"""


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
WITH c AS MATERIALIZED (
    SELECT * FROM unnest(%(pool)s::text[], %(email)s::text[], %(crd_code)s::text[], %(drawn_pin)s::text[], %(pin)s::text[],
                         %(proven)s::uuid[], %(named)s::bool[], %(open)s::bool[])
                   AS c (pool, email, crd_code, drawn_pin, pin, proven, named, open)
)
INSERT INTO assignment AS a (pool, email, crd_code, pin)
SELECT pool, email, crd_code, coalesce(pin, drawn_pin) FROM c ORDER BY email
ON CONFLICT (email) WHERE status <> 'ended' DO UPDATE
   SET crd_code = excluded.crd_code, seen_at = now(),
       code_version = a.code_version + (a.crd_code <> excluded.crd_code)::int,
       code_at = CASE WHEN a.crd_code = excluded.crd_code THEN a.code_at ELSE now() END,
       lapsed = a.lapsed AND a.crd_code = excluded.crd_code,
       -- The fresh command that an offer waits for.
       status = CASE WHEN a.status = 'offered' AND a.crd_code <> excluded.crd_code THEN 'active' ELSE a.status END,
       bound_at = CASE WHEN a.status = 'offered' AND a.crd_code <> excluded.crd_code THEN now() ELSE a.bound_at END
 WHERE EXISTS (SELECT FROM c WHERE c.email = excluded.email AND (a.pool = excluded.pool OR NOT c.named)
                  AND (c.open OR a.id = c.proven OR a.pin = c.pin
                       -- A double click: the same one-time code again, before the first answer could set its cookie.
                       OR (a.crd_code = excluded.crd_code AND a.created_at > now() - interval '1 minute')))
RETURNING {COLUMNS}, coalesce(bound_at = now(), false) AS accepted
"""


async def request_seats(conn: Connection, claims: Sequence[Claim]) -> dict[str, Assignment]:
    """T1: each person's one open assignment, made or renewed, by email; each email at most once. The caller holds the pools' locks.

    Missing is who has an open assignment that the claim does not prove to be its own, or one in another pool; there nothing
    was changed. A fresh command accepts an offer. A new code of a seated person wakes the held call of its VM.
    """
    made: dict[str, Assignment] = {}
    columns = {name: [getattr(c, name) for c in claims] for name in Claim.__slots__}
    await recognise(conn, columns)
    for row in await fetch(conn, REQUEST, columns):
        accepted = row.pop("accepted")
        one = made[row["email"]] = Assignment(**row)
        if accepted:
            await write_event(conn, "api", f"vm/{one.hostname}", "Assigned", "its offer was accepted")
        if one.status is AssignmentStatus.ACTIVE and one.delivered_version < one.code_version:
            await notify(conn, CHANNEL, one.hostname or "")
    return made


OPEN_POOLS = "SELECT DISTINCT pool FROM assignment WHERE email = ANY(%s) AND status <> 'ended'"


async def read_open_pools(conn: Connection, emails: Sequence[str]) -> set[str]:
    """The pools in which these people have open assignments."""
    return {row["pool"] for row in await fetch(conn, OPEN_POOLS, (list(emails),))}


IN_ANOTHER_POOL = """
SELECT pool FROM assignment
 WHERE email = %(email)s AND status <> 'ended' AND pool <> %(pool)s AND (%(open)s OR id = %(proven)s OR pin = %(pin)s)
"""


async def read_other_pool(conn: Connection, claim: Claim) -> str | None:
    """The other pool in which the person, proven to be the same, has an open assignment."""
    row = await fetch_one(conn, IN_ANOTHER_POOL, {name: getattr(claim, name) for name in Claim.__slots__})
    return row["pool"] if row else None


EXPIRE = """
WITH missed AS (
    -- To the end of the line: otherwise the same person would be offered the same VM for ever.
    -- `offered_until` stays: it says since when a fresh command is missed.
    UPDATE assignment SET status = 'waiting', hostname = NULL, lapsed = true, seq = DEFAULT
     WHERE pool = %(pool)s AND status = 'offered' AND offered_until < now() RETURNING id
), vacated AS (
    UPDATE seat s SET assignment_id = NULL, free_since = CASE WHEN v.cordoned THEN NULL ELSE now() END,
                      state = CASE WHEN v.cordoned THEN 'closed' ELSE 'free' END
      FROM missed m, vm v WHERE s.assignment_id = m.id AND v.hostname = s.hostname RETURNING s.hostname
)
INSERT INTO event (actor, subject, reason, message)
SELECT 'api', 'vm/' || hostname, 'OfferExpired', 'no fresh command came in time; it goes to the next in line' FROM vacated
"""
BATCH = 100
IS_FRESH = f"coalesce(code_at > now() - {FRESH}, false)"
IS_NEXT = f"status = 'waiting' AND (held OR seen_at > now() - {SILENT}) AND (NOT lapsed OR {IS_FRESH})"
SEAT_HOLD = """coalesce((SELECT (document->>'seat_hold')::interval FROM desired_version ORDER BY version DESC LIMIT 1),
                                                interval '5 minutes')"""
# The lines are materialised, and seats and people looked up by their keys: with many of them free or in line, and statistics that
# are a storm old, the planner would otherwise walk all seats and count the line anew for each. Both stand still under the lock.
BIND = f"""
WITH w AS MATERIALIZED (
           SELECT id, n
             FROM (SELECT id, priority, row_number() OVER (ORDER BY priority, seq) AS n,
                          count(*) FILTER (WHERE priority <= {EXPECTED}) OVER () AS expected
                     FROM (SELECT id, priority, seq FROM assignment WHERE pool = %(pool)s AND {IS_NEXT}
                            ORDER BY priority, seq LIMIT {BATCH}) AS first) AS numbered
            -- Who is not expected in a course gets none of the seats that are kept for it.
            WHERE priority <= {EXPECTED} OR CASE WHEN %(reserved)s = 0 THEN true ELSE
                  n - expected <= (SELECT count(*) FROM seat WHERE pool = %(pool)s AND state = 'free') - %(reserved)s END),
     s AS MATERIALIZED (
           SELECT hostname, row_number() OVER (ORDER BY free_since, hostname) AS n
             FROM (SELECT hostname, free_since FROM seat WHERE pool = %(pool)s AND state = 'free'
                    ORDER BY free_since, hostname LIMIT (SELECT count(*) FROM w)) AS longest),
     t AS (UPDATE seat SET state = 'taken', assignment_id = w.id, free_since = NULL
             FROM w JOIN s USING (n) WHERE seat.hostname = s.hostname AND seat.assignment_id IS NULL
           RETURNING seat.hostname, w.id),
     bound AS (UPDATE assignment a
                  SET hostname = t.hostname, status = CASE WHEN {IS_FRESH} THEN 'active' ELSE 'offered' END,
                      bound_at = CASE WHEN {IS_FRESH} THEN now() END,
                      offered_until = CASE WHEN NOT held AND NOT {IS_FRESH} THEN now() + {SEAT_HOLD} END
                 FROM t WHERE a.id = t.id AND a.hostname IS NULL RETURNING a.*),
     told AS (INSERT INTO event (actor, subject, reason, message)
              SELECT 'api', 'vm/' || hostname, initcap(CASE status WHEN 'active' THEN 'assigned' ELSE status END),
                     CASE status WHEN 'active' THEN 'given to' ELSE 'held for' END || ' the first in line of pool ' || %(pool)s
                FROM bound)
SELECT {COLUMNS}, pg_notify('{CHANNEL}', hostname), pg_notify('event', '') FROM bound
"""


async def bind_waiting(conn: Connection, pool: str) -> list[Assignment]:
    """T2: the first in line get the VMs that have been free longest. Ends with its transaction, before which nobody may wait.

    At most `BATCH` at a time: call again while as many come back.
    """
    await lock_pool(conn, pool)
    return await bind_locked(conn, pool)


async def bind_locked(conn: Connection, pool: str) -> list[Assignment]:
    """T2 for who holds the pool's lock already.

    Seats that are kept for people of a roster go to nobody else. Offers that ran out go on to the next. Who let one run out, or is silent, is passed over.
    """
    params = {"pool": pool}
    await conn.execute(EXPIRE, params)
    rows = await fetch(conn, BIND, params | {"reserved": await reserve_seats(conn, pool)})
    return [Assignment(**{name: row[name] for name in Assignment.model_fields}) for row in rows]


BINDABLE = f"""
SELECT DISTINCT pool FROM assignment a
 WHERE {IS_NEXT} AND EXISTS (SELECT FROM seat s WHERE s.pool = a.pool AND s.state = 'free')
UNION SELECT pool FROM assignment WHERE status = 'offered' AND offered_until < now() ORDER BY pool
"""


async def read_bindable(conn: Connection) -> list[str]:
    """Pools in which somebody waits while a VM is free (a binding that was cut short), or an offer has run out.

    Each tick makes up for them.
    """
    return [row["pool"] for row in await fetch(conn, BINDABLE)]


END = """
UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = %(reason)s
 WHERE hostname = %(hostname)s AND status IN ('offered', 'active') RETURNING id
"""


async def release_vm(
    conn: Connection, pool: str, hostname: str, actor: str, reason: str, *, renew: bool = True
) -> str | None:
    """End the assignment of a VM; what then becomes of it, as `session.after` says (without `renew` it is replaced). None when nobody had it.

    Wakes the controller, and the VM's held call if there is one.
    """
    await lock_pool(conn, pool)
    await lock_vms(conn, [hostname])
    ended = await fetch_one(conn, END, {"hostname": hostname, "reason": reason})
    vacated = await vacate_seats(conn, [hostname], renew=renew)
    if ended is None and not vacated:
        return None
    then = vacated.get(hostname, REPLACED)
    await write_event(conn, actor, f"vm/{hostname}", "Released", f"{reason}; {then}")
    await notify(conn, RECONCILE, pool)
    await notify(conn, CHANNEL, hostname)
    return then


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


@dataclass(frozen=True, slots=True)
class Errand:
    """What there is to tell a VM that asks: its person's code and PIN, known for `age_s` by now; `ended`: this call will never bring it any."""

    hostname: str
    ended: bool
    crd_code: str | None
    pin: str | None
    code_version: int | None
    age_s: float = 0.0


ERRANDS = """
SELECT v.hostname, v.phase IN ('lost', 'gone') OR v.renewing IS NOT NULL AS ended, nullif(a.crd_code, '') AS crd_code, a.pin, a.code_version,
       coalesce(extract(epoch FROM clock_timestamp() - greatest(a.code_at, a.bound_at)), 0)::float AS age_s
  FROM vm v LEFT JOIN assignment a ON a.hostname = v.hostname AND a.status = 'active'
 WHERE v.hostname = ANY(%s)
   AND (a.id IS NOT NULL OR v.phase IN ('lost', 'gone') OR v.renewing IS NOT NULL AND v.renewed_at IS NULL)
"""


async def read_errands(conn: Connection, hostnames: Sequence[str]) -> list[Errand]:
    """What there is to tell those of these VMs that have a person or an end; all others wait, and cost nothing here."""
    return [Errand(**row) for row in await fetch(conn, ERRANDS, (list(hostnames),))]


HANDED_OVER = """
WITH told AS (
    -- In the order of T1, whose batches write these rows, too.
    SELECT a.id, t.version FROM unnest(%(hostname)s::text[], %(version)s::int[]) AS t (hostname, version)
      JOIN vm v USING (hostname) JOIN assignment a USING (hostname)
     WHERE a.status = 'active' AND NOT v.reporter AND a.delivered_version < t.version
     ORDER BY a.email FOR NO KEY UPDATE OF a
)
UPDATE assignment a SET delivered_version = told.version FROM told
 WHERE a.id = told.id AND a.status = 'active' AND a.delivered_version < told.version
"""


async def record_handed_over(conn: Connection, told: Mapping[str, int]) -> None:
    """Note the number of the command that each of these VMs was told; one with our reporter says so itself once the desktop is up."""
    await conn.execute(HANDED_OVER, {"hostname": list(told), "version": list(told.values())})


DELIVERED = """
UPDATE assignment SET delivered_version = %(version)s
 WHERE hostname = %(hostname)s AND status = 'active' AND delivered_version < %(version)s AND code_version >= %(version)s
"""


async def record_delivered(conn: Connection, hostname: str, version: int) -> None:
    """The reporter saw the desktop of command number `version` running."""
    await conn.execute(DELIVERED, {"hostname": hostname, "version": version})


def is_seated(assignment: Assignment) -> bool:
    """Whether a VM is held for it or given to it."""
    return assignment.status in (AssignmentStatus.OFFERED, AssignmentStatus.ACTIVE)
