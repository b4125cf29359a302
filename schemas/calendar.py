"""When windows are open: dates and cron expressions in their time zones, as spans in UTC. No clock: `now` is given.

Called by `controller.decide` at each tick, so what a day or an expression means is worked out once. A local time that daylight saving leaves out
stands for the moment as long after the gap; one that comes twice is taken once, unless the hours are a pattern (`*`, `*/2`).
"""

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.cron import read_cron
from schemas.lab_pool import AnyWindow, CronWindow, Window

SEARCHED_DAYS = 366 * 8
"""How far a time is looked for: from one 29 February to the next it may be eight years."""
DAY = timedelta(days=1)


class Span(NamedTuple):
    """From when until when a window is open; its VMs start to be made at `grows_at`."""

    grows_at: datetime
    from_at: datetime
    to_at: datetime


def open_span(window: AnyWindow, now: datetime) -> Span | None:
    """The span that asks for VMs now, its lead included. Of several of one cron expression the latest: it lasts longest."""
    if isinstance(window, Window):
        span: Span | None = _of_dates(window)
    else:
        start = _last_start(window, now + window.lead)
        span = _of_start(window, start) if start else None
    return span if span and span.grows_at <= now < span.to_at else None


def next_span(window: AnyWindow, now: datetime) -> Span | None:
    """The first span that begins after `now`; None when there is none any more."""
    if isinstance(window, Window):
        return _of_dates(window) if window.from_at > now else None
    start = _next_start(window, now)
    return _of_start(window, start) if start else None


def last_end(window: AnyWindow, now: datetime) -> datetime | None:
    """When a span of this window ended last; None when none ever did."""
    if isinstance(window, Window):
        return window.to_at if window.to_at <= now else None
    start = _last_start(window, now - window.lasts)
    return start + window.lasts if start else None


def _of_dates(window: Window) -> Span:
    return Span(window.from_at - window.lead, window.from_at, window.to_at)


def _of_start(window: CronWindow, start: datetime) -> Span:
    return Span(start - window.lead, start, start + window.lasts)


def _last_start(window: CronWindow, at: datetime) -> datetime | None:
    """The last start up to and with `at`."""
    day = _local_day(window, at)
    starts = _starts(window.cron, window.timezone, day)
    if index := bisect_right(starts, at):
        return starts[index - 1]
    earlier = _fitting_day(window.cron, day - DAY, -1)
    return _starts(window.cron, window.timezone, earlier)[-1] if earlier else None


def _next_start(window: CronWindow, at: datetime) -> datetime | None:
    """The first start after `at`."""
    day = _local_day(window, at)
    starts = _starts(window.cron, window.timezone, day)
    if (index := bisect_right(starts, at)) < len(starts):
        return starts[index]
    later = _fitting_day(window.cron, day + DAY, 1)
    return _starts(window.cron, window.timezone, later)[0] if later else None


def _local_day(window: CronWindow, at: datetime) -> date:
    return at.astimezone(ZoneInfo(window.timezone)).date()


@lru_cache(maxsize=4096)
def _fitting_day(cron: str, day: date, step: int) -> date | None:
    """The first day from this one on, forwards or backwards, that the expression names."""
    fields = read_cron(cron)
    days = (day + DAY * step * number for number in range(SEARCHED_DAYS))
    return next((one for one in days if fields.fits(one)), None)


@lru_cache(maxsize=4096)
def _starts(cron: str, timezone: str, day: date) -> tuple[datetime, ...]:
    """The moments of one local day, in order; none when the expression does not name the day."""
    fields, zone = read_cron(cron), ZoneInfo(timezone)
    if not fields.fits(day):
        return ()
    local = [datetime.combine(day, time(hour, minute)) for hour in fields.hours for minute in fields.minutes]
    folds = (0, 1) if fields.any_hour else (0,)
    return tuple(sorted({at.replace(tzinfo=zone, fold=fold).astimezone(UTC) for at in local for fold in folds}))
