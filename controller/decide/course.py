"""Courses: seats of a pool that are ready and free at a moment, for a while. Pure.

Growth starts early by the measured start-up time of the pool (p90 of its last VMs), so that the seats are there before the first alarm; it goes in
batches, because AWS takes only so many requests at once and the first VMs tell whether the others will work. `survey` plans each course once
a tick; demand, conditions and the calendar read the plan.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.decision import Opening
from schemas.lab import Course, Pool
from schemas.pool import Attendance
from schemas.snapshot import Snapshot

BATCH = 10
"""Seats that one more step of growth asks for; as many instances are created at once in an account and region."""
STEP = timedelta(minutes=1)
MARGIN = 1.5
"""Of the measured start-up time: one in ten takes longer than its p90, and a refused or failed VM has to be made again."""


@dataclass(frozen=True, slots=True)
class PlannedCourse:
    """A course with what is known of its people and of its pool's start-up time."""

    name: str
    course: Course
    attendance: Attendance
    start: timedelta
    longest_start: timedelta  # that is allowed

    @property
    def ready_by(self) -> datetime:
        return self.course.from_at - max(self.course.alarm, default=timedelta(0))

    @property
    def grows_at(self) -> datetime:
        """The last batch begins the start-up time before the seats are due, the others a step earlier each."""
        return self._grows_at(self.start)

    @property
    def near_at(self) -> datetime:
        """When it would grow if its VMs took as long as they may: from then on none of those that are there is ended before it.

        Else the first one that is ready, whose time is measured, would put off the growth that made it.
        """
        return self._grows_at(max(self.start, self.longest_start))

    def _grows_at(self, start: timedelta) -> datetime:
        batches = -(-self.course.seats // BATCH)
        return self.ready_by - start * MARGIN - STEP * (batches - 1)

    @property
    def over_at(self) -> datetime:
        return self.course.to_at + self.course.grace

    def seats_at(self, now: datetime) -> int:
        """Seats that should be there or on their way, those of its people who are seated included."""
        if not self.grows_at <= now < self.course.to_at:
            return 0
        grown = BATCH * (1 + (now - self.grows_at) // STEP)
        return max(min(self.course.seats, grown), self.attendance.seated)

    def lacks(self, free: int) -> int:
        """Seats that are not there: neither its people have them nor could."""
        return max(0, self.course.seats - self.attendance.seated - free)

    def late_by(self, now: datetime) -> timedelta | None:
        """The alarm that is due: how long before the course at least the seats should have been there."""
        due = [alarm for alarm in (*self.course.alarm, timedelta(0)) if now >= self.course.from_at - alarm]
        return min(due) if due and now < self.course.to_at else None


def plan_courses(snapshot: Snapshot) -> dict[str, list[PlannedCourse]]:
    """The courses of each pool, by name."""
    planned: dict[str, list[PlannedCourse]] = defaultdict(list)
    for name, course in sorted(snapshot.lab.courses.items()):
        pool = snapshot.lab.pools[course.pool]
        attendance = snapshot.attendance.get(name, Attendance())
        start = start_of(pool, snapshot.starts, course.pool)
        planned[course.pool].append(PlannedCourse(name, course, attendance, start, pool.health.boot))
    return planned


def start_of(pool: Pool, starts: Mapping[str, Mapping[str, float]], name: str) -> timedelta:
    """How long a new VM takes: measured for the preferred type, else the slowest of its others, else the longest that is allowed."""
    measured = starts.get(name, {})
    known = [measured[one] for one in pool.instance_type if one in measured]
    return (
        timedelta(seconds=known[0] if pool.instance_type[0] in measured else max(known)) if known else pool.health.boot
    )


def opening_of(planned: PlannedCourse, now: datetime, free: int) -> Opening:
    """`free`: VMs of its pool that a person could have now."""
    course, is_open = planned.course, planned.grows_at <= now
    return Opening(
        name=f"the course {planned.name}",
        size=course.seats,
        grows_at=planned.grows_at,
        from_at=course.from_at,
        to_at=course.to_at,
        is_open=is_open,
        missing=planned.lacks(free) if is_open else 0,
    )
