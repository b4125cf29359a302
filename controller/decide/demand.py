"""How many VMs a pool should have now, and how many at most: the declared number, or what people ask for. Pure.

Called by `survey` for each pool; steps read the answer as `view.want`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.lab import Demand, Pool
from schemas.pool import Asked
from schemas.vm import Bucket

from controller.decide.classify import Judged
from controller.decide.course import PlannedCourse
from controller.decide.schedule import kept_since, scheduled_now

MINIMUM_AGE = timedelta(minutes=15)
"""A VM younger than this is not ended because demand fell: it may rise again, and a start costs minutes."""


THERE = frozenset({Bucket.PLANNED, Bucket.BOOTING, Bucket.READY})


@dataclass(frozen=True, slots=True)
class Want:
    """`size` VMs should be there now; `most` may be, replacements aside. `why` says where the size comes from.

    An `elastic` size is a guess from what people ask for: above it, VMs up to `most` are ended with patience only.
    """

    size: int = 0
    most: int = 0
    words: str = "0 declared"
    why: str = "0 declared"
    elastic: bool = False
    kept_since: datetime | None = None  # VMs made before this stay above the size: a window that ended said so


def want_of(
    pool: Pool | None, vms: Sequence[Judged], asked: Asked, courses: Sequence[PlannedCourse], now: datetime
) -> Want:
    """A pool that is not declared any more wants nothing."""
    if pool is None:
        return Want()
    want = _scheduled(pool, vms, asked, now) if pool.schedule else _own_size(pool, vms, asked)
    return _with_courses(want, vms, courses, now) if courses else want


def _scheduled(pool: Pool, vms: Sequence[Judged], asked: Asked, now: datetime) -> Want:
    scheduled = scheduled_now(pool, now)
    if scheduled is None:
        return replace(_own_size(pool, vms, asked), kept_since=kept_since(pool, now))
    size = scheduled.window.size
    return Want(size, size, scheduled.words, scheduled.words)


def _with_courses(want: Want, vms: Sequence[Judged], courses: Sequence[PlannedCourse], now: datetime) -> Want:
    """Seats of courses come beside the VMs that others have; the largest of this and the ordinary size holds.

    They may be more than the pool's `max`: who declares a course means its seats.
    """
    grown = [(planned, number) for planned in courses if (number := _seats_of(planned, vms, now))]
    seated = sum(planned.attendance.seated for planned, _ in grown)
    others = max(0, sum(one.bucket is Bucket.ASSIGNED for one in vms) - seated)
    seats = sum(number for _, number in grown) + others
    if not grown or seats <= want.size:
        return want
    names = ", ".join(f"{number} for the course {planned.name}" for planned, number in grown)
    why = f"{seats} wanted ({names}{f', {others} in use by others' if others else ''})"
    return Want(seats, max(seats, want.most), f"{seats} declared with courses", why)


def _seats_of(planned: PlannedCourse, vms: Sequence[Judged], now: datetime) -> int:
    """Those that should be there or on their way; while it is near, those of its seats that are there already."""
    if planned.near_at <= now < planned.grows_at:
        there = sum(one.bucket in THERE for one in vms)
        return min(planned.course.seats, planned.attendance.seated + there)
    return planned.seats_at(now)


def _own_size(pool: Pool, vms: Sequence[Judged], asked: Asked) -> Want:
    if isinstance(pool.size, Demand):
        return _follow(pool.size, vms, asked)
    return Want(pool.size, pool.size, f"{pool.size} declared", f"{pool.size} declared")


def _follow(demand: Demand, vms: Sequence[Judged], asked: Asked) -> Want:
    """Assigned + waiting + spare within `min` and `max`; a free VM that is cordoned is nobody's spare, so it counts as used."""
    in_use = sum(one.bucket is Bucket.ASSIGNED for one in vms)
    cordoned = sum(one.vm.cordoned and one.bucket in (Bucket.READY, Bucket.BOOTING, Bucket.OUTDATED) for one in vms)
    size = min(max(in_use + cordoned + asked.waiting + demand.spare, demand.min), demand.max)
    parts = ((in_use, "in use"), (cordoned, "cordoned"), (asked.waiting, "waiting"), (demand.spare, "spare"))
    told = ", ".join(f"{number} {word}" for number, word in parts if number) or "nobody asks"
    words = f"{size} wanted"
    return Want(size, demand.max, words, f"{words} of {demand.min} to {demand.max} ({told})", elastic=True)
