"""Cron expressions and names of time zones, checked and read; used by the schedules of `schemas.lab_pool` and by `schemas.calendar`."""

import re
from datetime import date
from functools import cache, lru_cache
from typing import Annotated, NamedTuple
from zoneinfo import available_timezones

from pydantic import AfterValidator

from schemas.values import nearest, refuse

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest, highest, and the words that stand for numbers (POSIX crontab, with 7 for Sunday too).
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {word: number for number, word in enumerate(MONTHS, 1)}),
    ("day of week", 0, 7, {word: number for number, word in enumerate(DAYS)}),
)
PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9]\d?))?", re.ASCII)


def check_cron(text: str) -> str:
    """Raises with the field that is wrong; lists, ranges, steps and names of months and days are understood."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise refuse("must have the five fields of cron, such as 0 9 * * mon-fri")
    for written, (name, low, high, words) in zip(fields, FIELDS, strict=True):
        if not all(_fits(part, low, high, words) for part in written.lower().split(",")):
            raise refuse(f'has "{written}" for the {name}, which goes from {low} to {high}')
    return text


def _fits(part: str, low: int, high: int, words: dict[str, int]) -> bool:
    match = PART.fullmatch(part)
    if not match:
        return False
    ends = [_number(end, words) for end in (match["first"], match["last"]) if end]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


class CronFields(NamedTuple):
    """What an expression names. `any_hour`: its hours are a pattern, not times of day."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    any_hour: bool
    any_day: bool
    any_weekday: bool

    def fits(self, day: date) -> bool:
        """A restricted day of month and a restricted day of week are alternatives (POSIX crontab)."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month and of_week if self.any_day or self.any_weekday else of_month or of_week


@lru_cache(maxsize=1024)
def read_cron(text: str) -> CronFields:
    """An expression that `check_cron` has accepted."""
    written = text.lower().split()
    minutes, hours, days, months, weekdays = (
        sorted({value for part in one.split(",") for value in _values(part, low, high, words)})
        for one, (_, low, high, words) in zip(written, FIELDS, strict=True)
    )
    return CronFields(
        minutes=tuple(minutes),
        hours=tuple(hours),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        any_hour=written[1].startswith("*"),
        any_day=written[2].startswith("*"),
        any_weekday=written[4].startswith("*"),
    )


def _values(part: str, low: int, high: int, words: dict[str, int]) -> range:
    match = PART.fullmatch(part)
    assert match is not None  # checked
    first = _number(match["first"], words) if match["first"] else low
    single = match["first"] and not match["step"]
    last = _number(match["last"], words) if match["last"] else (first if single else high)
    return range(first, last + 1, int(match["step"] or 1))


def _number(text: str, words: dict[str, int]) -> int:
    return int(text) if text.isdecimal() else words.get(text, -1)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def check_timezone(name: str) -> str:
    if name not in _zones():
        raise refuse(f'there is no time zone "{name}"', _nearest_zone(name))
    return name


def _nearest_zone(name: str) -> str:
    by_lower = {zone.lower(): zone for zone in _zones()}
    return by_lower.get(nearest(name.replace(" ", "_"), list(by_lower)), "")


Cron = Annotated[str, AfterValidator(check_cron)]
TimeZone = Annotated[str, AfterValidator(check_timezone)]
