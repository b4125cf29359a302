"""A day in twenty seconds under load. A whole one, in half an hour: `make prove ARGS=endurance`."""

import anyio
import pytest

from tests.nemesis.endurance import WINDOWS, endure, grow, judge, open_hurried

SECONDS = 20.0


def test_what_grows_is_found_and_what_comes_and_goes_is_not() -> None:
    waves = [100.0 + n % 7 for n in range(600)]
    assert grow(waves) == 0
    assert judge({("api", "tasks"): waves}, 600) == []
    leaks = [value + n / 60 for n, value in enumerate(waves)]
    assert 5 < grow(leaks) < 10
    assert judge({("api", "tasks"): leaks}, 600) == ["tasks of api grew by 5.9, from 100.0 to 114.0"]
    assert grow([1.0] * WINDOWS) == 0


@pytest.mark.timeout(300)
def test_under_load_nothing_grows_while_days_of_logs_come_and_go() -> None:
    with open_hurried() as site:
        lived = anyio.run(endure, site, SECONDS)
    assert lived.faults == []
    assert lived.figures["assignments"] > 0
