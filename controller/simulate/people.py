"""Who comes when, and for how long: drawn from a seed, so that a rehearsal can be repeated. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from schemas.lab import Course, Lab
from schemas.simulation import Plan

# Share of a day's people by the hour (UTC offset of `Plan.start`), in tenths of a percent: a working day with its lunch.
HOURS = (0, 0, 0, 0, 0, 0, 5, 20, 80, 140, 130, 110, 70, 110, 120, 90, 60, 35, 15, 10, 5, 0, 0, 0)
WEEKEND = 0.2
"""Of a working day's people come on a day of the weekend."""
FORGETFUL = 0.2
"""Of those who drop in keep a VM that they do not use any more."""
EARLY, LATE = timedelta(minutes=5), timedelta(minutes=15)


@dataclass(slots=True, eq=False)
class Person:
    """`course` names the one that somebody comes for; `forgets_it`: works half of the time, and keeps the VM for all of it."""

    pool: str
    arrives: datetime
    leaves_after: timedelta
    course: str = ""
    forgets_it: bool = False
    comes_back_after: timedelta = timedelta(minutes=1)  # with a fresh command, where a seat is held for the person
    asked_at: datetime | None = None  # with a newer command than the one at the arrival
    bound_at: datetime | None = None
    lapsed: bool = False  # let an offer run out; served again once there is a fresh command
    is_gone: bool = False


def draw_people(lab: Lab, plan: Plan, chance: Random) -> list[Person]:
    """Everybody who comes, in the order of arrival."""
    people = [one for name in sorted(lab.courses) for one in _attend(name, lab.courses[name], plan, chance)]
    if plan.course is None:
        for name in sorted(lab.pools):
            people += _drop_in(name, plan.arrivals.get(name, plan.arrivals.get("", 0.0)), plan, chance)
    return sorted(people, key=lambda one: one.arrives)


def _attend(name: str, course: Course, plan: Plan, chance: Random) -> Iterator[Person]:
    """All seats are taken, most of them in the quarter of an hour after the beginning, till the end."""
    if plan.course not in (None, name) or not plan.start <= course.from_at < plan.start + timedelta(days=plan.days):
        return
    for _ in range(course.seats):
        arrives = course.from_at - EARLY + (EARLY + LATE) * chance.betavariate(2, 3)
        yield Person(course.pool, arrives, course.to_at - arrives, name, comes_back_after=_return(chance))


def _drop_in(pool: str, per_day: float, plan: Plan, chance: Random) -> Iterator[Person]:
    if not per_day:
        return
    for day in range(int(plan.days) + 1):
        midnight = plan.start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=day)
        share = WEEKEND if midnight.weekday() >= 5 else 1.0
        for _ in range(_poisson(per_day * share, chance)):
            hour = chance.choices(range(24), HOURS)[0]
            arrives = midnight + timedelta(hours=hour, seconds=chance.uniform(0, 3600))
            if plan.start <= arrives < plan.start + timedelta(days=plan.days):
                stay = timedelta(seconds=chance.expovariate(1 / plan.stay_s))
                forgets_it = chance.random() < FORGETFUL
                yield Person(pool, arrives, stay, forgets_it=forgets_it, comes_back_after=_return(chance))


def _return(chance: Random) -> timedelta:
    """Most look at their page every minute or two; some come back too late for what was held for them."""
    return timedelta(seconds=chance.expovariate(1 / 120))


def _poisson(mean: float, chance: Random) -> int:
    """How many come in a day when `mean` come on average: exponential gaps, counted."""
    number, at = 0, chance.expovariate(1.0)
    while at < mean:
        number, at = number + 1, at + chance.expovariate(1.0)
    return number
