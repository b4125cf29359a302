"""What somebody wants rehearsed, made into a plan that the document can answer, and lived through. Called by the API and the command."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from schemas.lab import Lab
from schemas.simulation import Plan, Report
from schemas.values import nearest

from controller.simulate.ledger import report
from controller.simulate.rehearsal import rehearse

MOST_PEOPLE = 20_000
BEFORE_COURSE = timedelta(hours=3)


class NoPlan(ValueError):
    """The sentence says what is wrong with the wishes."""


def read_plan(lab: Lab, wishes: Mapping[str, Any], now: datetime) -> Plan:
    """A rehearsal begins at the next full hour, that of a course some hours before the course. Raises NoPlan."""
    try:
        plan = Plan.model_validate({"start": _start(lab, wishes, now), **wishes})
    except ValidationError as error:
        told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise NoPlan("; ".join(told)) from None
    if plan.start.tzinfo is None:
        raise NoPlan("start: must say its offset from UTC, as in 2026-12-01T09:00-08:00")
    _check_names("arrivals", plan.arrivals, lab)
    seats = sum(course.seats for course in lab.courses.values())
    expected = seats + plan.days * sum(plan.arrivals.get(name, plan.arrivals.get("", 0.0)) for name in lab.pools)
    if expected > MOST_PEOPLE:
        raise NoPlan(f"about {expected:,.0f} people would come, and {MOST_PEOPLE:,} at most can be rehearsed")
    return plan


def _start(lab: Lab, wishes: Mapping[str, Any], now: datetime) -> datetime:
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    name = wishes.get("course")
    if name is None:
        return hour
    if name not in lab.courses:
        close = nearest(str(name), list(lab.courses))
        raise NoPlan(f"there is no course {name!r}" + (f": did you mean {close!r}?" if close else ""))
    return lab.courses[name].from_at - max(lab.courses[name].alarm, default=timedelta()) - BEFORE_COURSE


def _check_names(field: str, named: Mapping[str, float], lab: Lab) -> None:
    for name in named.keys() - {""} - lab.pools.keys():
        close = nearest(name, list(lab.pools))
        raise NoPlan(f"{field}: there is no pool {name!r}" + (f": did you mean {close!r}?" if close else ""))


def rehearse_plan(lab: Lab, plan: Plan) -> Report:
    """Takes seconds of a core for a week; raises `rehearsal.TooLarge` before it takes minutes."""
    return report(rehearse(lab, plan))
