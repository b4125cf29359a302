"""Durations, regions, and the text of scalars."""

from datetime import timedelta

import botocore.session
import pytest

from schemas.aws_values import REGIONS
from schemas.values import format_duration, nearest, parse_duration
from schemas.yaml_tree import read_scalar


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("8h", 28_800), ("7d", 604_800), ("0s", 0), ("3650d", 315_360_000)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "-5m", "1.5h", "05m", "5w", "1h30m", "3651d", "99999999d", "٣m", "5m\n"]
)
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("length", "text"),
    [(timedelta(), "0s"), (timedelta(seconds=61), "61s"), (timedelta(minutes=120), "2h"), (timedelta(hours=25), "25h")],
)
def test_durations_are_written_in_their_largest_unit(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


def test_every_region_is_one_of_ec2() -> None:
    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    known = {name for partition in partitions for name in session.get_available_regions("ec2", partition)}
    assert set(REGIONS) <= known
    assert set(session.get_available_regions("ec2")) <= set(REGIONS)


def test_the_nearest_word_is_one_slip_away_or_none() -> None:
    assert nearest("us-wset-2", list(REGIONS)) == "us-west-2"
    assert nearest("completely else", ["size", "zones"]) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-12-01", "2026-12-01"),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("~", None),
        ("True", True),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_are_read_by_yaml_1_2(text: str, value: object) -> None:
    read = read_scalar(text)
    assert (read, type(read)) == (value, type(value))
