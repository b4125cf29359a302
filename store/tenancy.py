"""Assignments by their id: what admins list, make and extend, and what they or the person end.

Lock order as everywhere: pool, VM rows, assignment, seat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import CHANNEL, COLUMNS, RECONCILE
from store.db import Connection, fetch, fetch_one, notify
from store.event import write_event
from store.renewal import REPLACED, vacate_seats
from store.seat import lock_pool, lock_vms

LIST = f"""
SELECT {COLUMNS} FROM assignment
 WHERE (%(pool)s::text IS NULL OR pool = %(pool)s) AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(before)s::bigint IS NULL OR seq < %(before)s)
 ORDER BY seq DESC LIMIT %(limit)s
"""


async def list_assignments(
    conn: Connection, *, pool: str | None = None, status: str | None = None, before: int | None = None, limit: int = 100
) -> Sequence[Assignment]:
    """Newest first; `before` is the cursor (`seq`)."""
    rows = await fetch(conn, LIST, {"pool": pool, "status": status, "before": before, "limit": limit})
    return [Assignment(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Grant:
    """What an admin gives to whom. Without a code the VM is held until the person sends one."""

    pool: str
    email: str
    pin: str
    crd_code: str | None = None
    hostname: str | None = None  # this VM and no other


GRANT = f"""
INSERT INTO assignment (pool, email, crd_code, pin, held, code_at)
VALUES (%(pool)s, %(email)s, coalesce(%(crd_code)s, ''), %(pin)s, true, CASE WHEN %(crd_code)s::text IS NOT NULL THEN now() END)
ON CONFLICT (email) WHERE status <> 'ended' DO NOTHING RETURNING {COLUMNS}
"""
TAKE = """
UPDATE seat s SET state = 'taken', assignment_id = %(id)s, free_since = NULL FROM vm v
 WHERE s.hostname = %(hostname)s AND s.pool = %(pool)s AND s.state IN ('closed', 'free')
   AND v.hostname = s.hostname AND v.phase = 'live' AND v.renewing IS NULL
RETURNING s.hostname
"""
SEATED = f"""
UPDATE assignment SET hostname = %(hostname)s, status = CASE WHEN code_at IS NULL THEN 'offered' ELSE 'active' END,
                      bound_at = CASE WHEN code_at IS NOT NULL THEN now() END
 WHERE id = %(id)s RETURNING {COLUMNS}
"""


class NotFree(Exception):
    """The VM that was asked for by name is not there to be given."""


async def grant(conn: Connection, wish: Grant, actor: str) -> Assignment | None:
    """An admin's assignment; None when the email has an open one. Waits in line unless a VM is named. Raises NotFree.

    A VM by name is taken under the pool's lock, as every other binding; a cordoned one, too, for an admin knows what for.
    """
    await lock_pool(conn, wish.pool)
    params = {name: getattr(wish, name) for name in Grant.__slots__}
    row = await fetch_one(conn, GRANT, params)
    if row is None:
        return None
    if wish.hostname:
        params["id"] = row["id"]
        if await fetch_one(conn, TAKE, params) is None:
            raise NotFree(
                f"{wish.hostname} is not free in pool {wish.pool}: see `lablink vms`, and name another or none"
            )
        row = await fetch_one(conn, SEATED, params)
        assert row is not None  # made a moment ago, in this transaction
        await write_event(conn, actor, f"vm/{wish.hostname}", "Granted", "given to somebody by name")
        await notify(conn, CHANNEL, wish.hostname)
    await write_event(conn, actor, f"pool/{wish.pool}", "Granted", "an admin asked for a VM for somebody")
    await notify(conn, RECONCILE, wish.pool)
    return Assignment(**row)


OWN = "SELECT pool FROM assignment WHERE id = %s"
END = """
WITH old AS (SELECT id, pool, hostname, status FROM assignment WHERE id = %(id)s AND status = ANY(%(among)s) FOR UPDATE)
UPDATE assignment a SET status = 'ended', ended_at = now(), end_reason = %(reason)s
  FROM old WHERE a.id = old.id RETURNING old.pool, old.hostname, old.status
"""
HOLDS = "SELECT hostname FROM seat WHERE assignment_id = %s"
UNHOLD = """
UPDATE seat s SET assignment_id = NULL, state = CASE WHEN v.cordoned THEN 'closed' ELSE 'free' END,
                  free_since = CASE WHEN NOT v.cordoned THEN now() END
  FROM vm v WHERE s.hostname = %s AND v.hostname = s.hostname
"""


IN_LINE = (AssignmentStatus.WAITING, AssignmentStatus.OFFERED)
OPEN = (*IN_LINE, AssignmentStatus.ACTIVE)


async def end_assignment(
    conn: Connection, assignment: UUID, actor: str, reason: str, among: Sequence[AssignmentStatus] = OPEN
) -> str | None:
    """Its pool, or None when it is none `among` these: it had ended before, has gone on meanwhile, or never was.

    What becomes of a VM that the person had, the pool's `session.after` says; one that was only held for them is free for the next.
    """
    own = await fetch_one(conn, OWN, (assignment,))
    if own is None:
        return None
    await lock_pool(conn, own["pool"])
    if held := await fetch_one(conn, HOLDS, (assignment,)):
        await lock_vms(conn, [held["hostname"]])
    ended = await fetch_one(conn, END, {"id": assignment, "reason": reason, "among": list(among)})
    if ended is None:
        return None
    if held:
        then = await _give_back(conn, held["hostname"], used=ended["status"] == AssignmentStatus.ACTIVE)
        await write_event(conn, actor, f"vm/{held['hostname']}", "Released", f"{reason}; {then}")
    await notify(conn, RECONCILE, ended["pool"])
    await notify(conn, CHANNEL, ended["hostname"] or "")
    return str(ended["pool"])


LINE = "SELECT id, pool FROM assignment WHERE seq = ANY(%s) AND status = ANY(%s) ORDER BY pool, seq"


async def end_waiting(conn: Connection, seqs: Sequence[int], actor: str) -> Sequence[str]:
    """Takes people out of the line, but for those who have got a VM meanwhile; the pools of those who left."""
    found = await fetch(conn, LINE, (list(seqs), list(IN_LINE)))
    left = [await end_assignment(conn, row["id"], actor, "taken out of the line", IN_LINE) for row in found]
    pools = [pool for pool in left if pool]
    for pool in dict.fromkeys(pools):
        await write_event(conn, actor, f"pool/{pool}", "Released", f"{pools.count(pool)} taken out of the line")
    return pools


async def _give_back(conn: Connection, hostname: str, *, used: bool) -> str:
    if used:
        return (await vacate_seats(conn, [hostname])).get(hostname, REPLACED)
    await conn.execute(UNHOLD, (hostname,))
    return "the VM is free for the next"


LONGEST_AHEAD = timedelta(days=7)
EXTEND = f"""
UPDATE assignment SET ends_at = greatest(ends_at, now()) + %(by)s
 WHERE id = %(id)s AND status = 'active' AND greatest(ends_at, now()) + %(by)s <= now() + %(ahead)s AND ends_at IS NOT NULL
RETURNING {COLUMNS}
"""


async def extend_session(conn: Connection, assignment: UUID, by: timedelta, actor: str) -> Assignment | None:
    """Push the deadline of a session, to `LONGEST_AHEAD` from now at most; None where that cannot be, and nothing is changed."""
    row = await fetch_one(conn, EXTEND, {"id": assignment, "by": by, "ahead": LONGEST_AHEAD})
    return await _tell_extended(conn, Assignment(**row), actor) if row else None


SOON = timedelta(minutes=30)
PROLONG = f"""
UPDATE assignment a SET ends_at = greatest(ends_at, now()) + %(by)s
 WHERE id = %(id)s AND status = 'active' AND ends_at <= now() + %(soon)s
   AND NOT EXISTS (SELECT FROM assignment w WHERE w.pool = a.pool AND w.status = 'waiting')
RETURNING {COLUMNS}
"""


async def prolong_session(conn: Connection, assignment: UUID, by: timedelta) -> Assignment | None:
    """The person's own push: of a session that ends `SOON`, while nobody waits in the pool. None otherwise."""
    row = await fetch_one(conn, PROLONG, {"id": assignment, "by": by, "soon": SOON})
    return await _tell_extended(conn, Assignment(**row), "user") if row else None


async def _tell_extended(conn: Connection, extended: Assignment, actor: str) -> Assignment:
    """The controller takes a warning back that does not hold any more."""
    until = f"the session ends at {extended.ends_at:%F %T} UTC"
    await write_event(conn, actor, f"vm/{extended.hostname}", "Extended", until)
    await notify(conn, RECONCILE, extended.pool)
    await notify(conn, CHANNEL, extended.hostname or "")
    return extended
