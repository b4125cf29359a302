"""What goes wrong for ever stays small: creations, spending and log lines of each hour are bounded, and a person is called."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.cloud import Cloud
from tests.simulation.life import Databases
from tests.simulation.runaway import run_away

SIZE = 2
MOST_REPAIRED = 3
"""VMs of a small pool that are replaced within an hour (`controller.decide.holdbacks`)."""
MOST_LINES, MOST_EVENTS = 200, 400


def calls_broken(cloud: Cloud) -> None:
    cloud.ailment = "error"


def never_boots(cloud: Cloud) -> None:
    cloud.ailment = "mute"


def terraform_fails(cloud: Cloud) -> None:
    cloud.stage.troubles.refused = 1.0


@pytest.mark.parametrize("trouble", [calls_broken, never_boots, terraform_fails], ids=lambda one: one.__name__)
def test_what_fails_for_ever_is_tried_seldom_and_calls_a_person(
    databases: Databases, trouble: Callable[[Cloud], None]
) -> None:
    pool: dict[str, Any] = {"size": SIZE, "health": {"boot": "10m"}}
    with databases.fresh(f"runaway_{trouble.__name__}") as dsn:
        hours = run_away(dsn, {"pools": {"client": pool}}, trouble)
    assert hours[0].launches <= SIZE + MOST_REPAIRED
    assert all(hour.launches <= MOST_REPAIRED for hour in hours[1:])
    assert all(hour.vm_hours <= SIZE + 1 for hour in hours)
    assert all(hour.log_lines <= MOST_LINES and hour.events <= MOST_EVENTS for hour in hours)
    assert {"TooManyUnhealthy", "Stalled"} & {kind for hour in hours for kind in hour.called}


def test_who_types_a_thousand_is_asked_first(databases: Databases) -> None:
    with databases.fresh("runaway_thousand") as dsn:
        hours = run_away(dsn, {"pools": {"client": {"size": SIZE}}}, lambda cloud: None, then={"size": 1000})
    assert sum(hour.launches for hour in hours) == SIZE
    assert "ApprovalNeeded" in hours[-1].called
