"""The step that ends sessions: at their limit, when nobody uses them, with their course or window, or for an update. Pure.

Nobody is ended unwarned: a cause that comes near is first written down as a warning with a deadline. Only a warning that stands in the record, whose
deadline has passed and whose cause still holds, ends an assignment. A cause that goes away takes its warning with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.calendar import last_end, open_span
from schemas.decision import EndAssignment, SetSession
from schemas.lab import Pool
from schemas.values import format_duration
from schemas.vm import Bucket, Vm

from controller.decide.classify import Judged
from controller.decide.holdbacks import REPAIRED_AT_ONCE, REPAIRED_SHARE
from controller.decide.names import clock
from controller.decide.schedule import name_of
from controller.decide.work import Work

NOTICE = timedelta(minutes=15)
"""Before a deadline that was known all along; of a limit shorter than an hour, a quarter of it."""
UPDATE_NOTICE = timedelta(minutes=30)
"""For who has an outdated VM where updates drain: nobody could know before."""


BROKEN_NOTICE = timedelta(minutes=5)
"""For who has a VM that does not work, where another one is to follow: it may come back meanwhile."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a session ends, when at the earliest, and how long before its person has to know. `moves`: it goes on on another VM."""

    words: str
    deadline: datetime
    notice: timedelta
    least: timedelta  # who is told late, since the controller was away, still has this long
    moves: bool = False

    def sentence(self, ends_at: datetime) -> str:
        if self.moves:
            return f"{self.words}: you are given another VM at {clock(ends_at)}"
        return f"{self.words}: the session ends at {clock(ends_at)}"


def end_sessions(work: Work) -> Work:
    pool = work.view.declared
    if pool is None:
        return work
    in_session = [
        one
        for one in work.of(Bucket.ASSIGNED)
        if one.vm.bound_at is not None and not work.view.closed("end_assignment", one.vm.region)
    ]
    return work.act_on([(one, action) for one in in_session if (action := _session(work, pool, one))])


def _session(work: Work, pool: Pool, one: Judged) -> SetSession | EndAssignment | None:
    vm, now = one.vm, work.view.world.now
    limit = pool.session.max
    ends_at = vm.ends_at or (vm.bound_at + limit if limit and vm.bound_at else None)
    if one.reclaimed and vm.reclaim_at:
        words = f"AWS takes this VM back at {clock(vm.reclaim_at)}; you are first in line for another one"
        return _record(vm, ends_at, words, vm.reclaim_at, one.trouble)
    cause = min(_causes(work, pool, one, ends_at), key=lambda cause: cause.deadline, default=None)
    if cause is None or now < cause.deadline - cause.notice:
        trouble = f"this VM has trouble ({one.trouble}): an admin has been told" if one.trouble else ""
        return _record(vm, ends_at, trouble, None, "nothing ends it for now")
    stands = vm.warning_ends_at and vm.warning_ends_at >= cause.deadline
    if stands and vm.warning_ends_at and vm.warning == cause.sentence(vm.warning_ends_at):
        if now >= vm.warning_ends_at:
            return EndAssignment(
                pool=vm.pool, hostname=vm.hostname, ends_at=vm.ends_at, reason=cause.words, moves=cause.moves
            )
        return _record(vm, ends_at, vm.warning, vm.warning_ends_at, cause.words)
    at = max(cause.deadline, now + cause.least)
    return _record(vm, ends_at, cause.sentence(at), at, cause.words)


def _record(
    vm: Vm, ends_at: datetime | None, warning: str, warning_ends_at: datetime | None, reason: str
) -> SetSession | None:
    """Nothing, if the record says so already."""
    if (vm.ends_at, vm.warning, vm.warning_ends_at) == (ends_at, warning, warning_ends_at):
        return None
    if not warning and ends_at and vm.ends_at is None:
        reason = f"the session may last until {clock(ends_at)}"
    return SetSession(
        pool=vm.pool,
        hostname=vm.hostname,
        ends_at=ends_at,
        warning=warning,
        warning_ends_at=warning_ends_at,
        reason=warning or reason,
    )


def _causes(work: Work, pool: Pool, one: Judged, ends_at: datetime | None) -> Iterator[Cause]:
    vm, now = one.vm, work.view.world.now
    if ends_at:
        yield Cause("its time is up", ends_at, *_notice(pool.session.max))
    if pool.session.idle and (active_at := _last_active(work, pool, vm)):
        words = f"nobody has used it for {format_duration(pool.session.idle)}"
        yield Cause(words, active_at + pool.session.idle, *_notice(pool.session.idle))
    for planned in work.view.courses:
        if vm.hostname in planned.attendance.hosts:
            yield Cause(f"the course {planned.name} is over", planned.over_at, planned.course.grace or NOTICE, NOTICE)
    if pool.update.assigned == "drain" and one.outdated and vm.bound_at:
        yield Cause(f"its VM is outdated ({one.outdated})", vm.bound_at, UPDATE_NOTICE, UPDATE_NOTICE)
    if pool.health.assigned == "replace" and one.trouble and vm.bound_at and _is_given_up(work, vm):
        yield Cause(f"its VM does not work ({one.trouble})", vm.bound_at, BROKEN_NOTICE, BROKEN_NOTICE, moves=True)
    yield from _windows(pool, vm, now)


def _is_given_up(work: Work, vm: Vm) -> bool:
    """Not one that will be started, once; and not many at once, which have one cause that other VMs would not end."""
    starts = vm.instance_state in ("stopped", "stopping") and vm.started_at is None
    troubled = sum(one.bucket is Bucket.ASSIGNED and bool(one.trouble) and not one.reclaimed for one in work.view.vms)
    few = troubled <= max(REPAIRED_AT_ONCE, len(work.view.vms) * REPAIRED_SHARE)
    return few and not starts and not work.no_repair


def _windows(pool: Pool, vm: Vm, now: datetime) -> Iterator[Cause]:
    """Who came within a window that takes its people along, goes with it."""
    for window in pool.schedule:
        if window.end == "end":
            span = open_span(window, now)
            end = span.to_at if span else last_end(window, now)
            opened = open_span(window, end - timedelta(seconds=1)) if end else None
            if end and opened and vm.bound_at and opened.grows_at <= vm.bound_at < end:
                yield Cause(f"{name_of(window)} is over", end, NOTICE, NOTICE)


def _last_active(work: Work, pool: Pool, vm: Vm) -> datetime | None:
    """When somebody was last at work there: the software ran, or the GPU did. None while that cannot be told."""
    now = work.view.world.now
    told = vm.reporter or vm.idle_since is not None
    if not told or vm.heard_at is None or now - vm.heard_at > pool.health.silent or vm.bound_at is None:
        return None
    if vm.in_use:
        return now
    return max(at for at in (vm.bound_at, vm.idle_since, vm.gpu_active_at) if at)


def _notice(limit: timedelta | None) -> tuple[timedelta, timedelta]:
    notice = min(NOTICE, limit / 4) if limit else NOTICE
    return notice, notice
