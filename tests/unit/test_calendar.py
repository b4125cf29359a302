"""When windows are open, over time zones, daylight saving and the corners of cron."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.calendar import last_end, next_span, open_span
from schemas.lab_pool import CronWindow, Window

HOUR = timedelta(hours=1)


def cron(expression: str, lasts: str = "1h", **more: Any) -> CronWindow:
    return CronWindow.model_validate({"cron": expression, "for": lasts, "size": 5, **more})


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def starts(window: CronWindow, after: datetime, count: int) -> list[str]:
    """The next starts, in UTC."""
    found: list[str] = []
    while len(found) < count and (span := next_span(window, after)):
        after = span.from_at
        found.append(f"{after:%Y-%m-%d %H:%M}")
    return found


def test_a_window_of_dates_opens_and_closes_to_the_second() -> None:
    window = Window.model_validate({"from": "2026-12-01T09:00-08:00", "to": "2026-12-01T17:00-08:00", "size": 3})
    assert open_span(window, at("2026-12-01T16:59:59")) is None
    assert open_span(window, at("2026-12-01T17:00:00")) is not None
    assert open_span(window, at("2026-12-02T00:59:59")) is not None
    assert open_span(window, at("2026-12-02T01:00:00")) is None
    assert last_end(window, at("2026-12-02T01:00:00")) == at("2026-12-02T01:00:00")
    assert next_span(window, at("2026-12-01T17:00:00")) is None


def test_the_lead_opens_a_window_early() -> None:
    window = cron("0 9 * * *", lead="30m")
    assert open_span(window, at("2026-12-01T08:29:59")) is None
    span = open_span(window, at("2026-12-01T08:30:00"))
    assert span is not None
    assert span.from_at == at("2026-12-01T09:00:00")
    assert open_span(window, at("2026-12-01T10:00:00")) is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * mon-fri", ["2026-12-01 09:00", "2026-12-02 09:00", "2026-12-03 09:00", "2026-12-04 09:00"]),
        ("30 */6 * * *", ["2026-12-01 00:30", "2026-12-01 06:30", "2026-12-01 12:30", "2026-12-01 18:30"]),
        ("0 0 13 * fri", ["2026-12-04 00:00", "2026-12-11 00:00", "2026-12-13 00:00", "2026-12-18 00:00"]),
        ("0 0 1,15 jan *", ["2027-01-01 00:00", "2027-01-15 00:00", "2028-01-01 00:00", "2028-01-15 00:00"]),
        ("0 8 * * 7", ["2026-12-06 08:00", "2026-12-13 08:00", "2026-12-20 08:00", "2026-12-27 08:00"]),
        ("0 0 29 feb *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00", "2040-02-29 00:00"]),
        ("0 0 30 feb *", []),
        ("5/20 9 1 dec *", ["2026-12-01 09:05", "2026-12-01 09:25", "2026-12-01 09:45", "2027-12-01 09:05"]),
    ],
)
def test_cron_names_these_times(expression: str, expected: list[str]) -> None:
    assert starts(cron(expression), at("2026-12-01T00:00:00"), 4) == expected


def test_nine_in_the_morning_stays_nine_in_the_morning_over_daylight_saving() -> None:
    window = cron("0 9 * * *", timezone="America/Los_Angeles")
    assert starts(window, at("2026-03-07T00:00:00"), 3) == ["2026-03-07 17:00", "2026-03-08 16:00", "2026-03-09 16:00"]
    assert starts(window, at("2026-10-31T00:00:00"), 3) == ["2026-10-31 16:00", "2026-11-01 17:00", "2026-11-02 17:00"]


def test_a_time_that_does_not_exist_comes_after_the_gap() -> None:
    window = cron("30 2 * * *", timezone="Europe/Berlin")
    assert starts(window, at("2026-03-28T12:00:00"), 2) == ["2026-03-29 01:30", "2026-03-30 00:30"]


def test_a_time_that_comes_twice_is_taken_once() -> None:
    window = cron("30 2 * * *", timezone="Europe/Berlin")
    assert starts(window, at("2026-10-24T12:00:00"), 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]


def test_every_hour_is_every_hour_in_a_night_of_daylight_saving() -> None:
    window = cron("0 * * * *", timezone="Europe/Berlin")
    night = [at("2026-10-24T22:00:00") + number * HOUR for number in range(8)]
    assert all(open_span(window, moment + HOUR / 2) for moment in night)
    assert starts(window, night[0], 4) == [f"2026-10-24 {23}:00", *(f"2026-10-25 0{hour}:00" for hour in range(3))]


def test_a_window_lasts_as_long_as_it_says_over_a_change_of_clocks() -> None:
    window = cron("0 22 * * sat", "8h", timezone="Europe/Berlin")
    span = open_span(window, at("2026-03-29T03:00:00"))
    assert span is not None
    assert span.to_at - span.from_at == 8 * HOUR


def test_a_window_longer_than_its_period_never_closes() -> None:
    window = cron("0 9 * * *", "30h")
    moments = [datetime(2026, 12, 1, tzinfo=UTC) + number * HOUR for number in range(72)]
    assert all(open_span(window, moment) for moment in moments)


def test_the_last_end_is_that_of_the_last_window() -> None:
    window = cron("0 9 * * mon", "2h")
    assert last_end(window, at("2026-12-02T00:00:00")) == at("2026-11-30T11:00:00")
    assert last_end(window, at("2026-11-30T10:59:59")) == at("2026-11-23T11:00:00")
