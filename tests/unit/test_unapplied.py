"""Which pools actuation is woken for: those with work, also when a controller died before it could be done."""

from datetime import timedelta
from typing import Any

import pytest

from controller.unapplied import find_unapplied
from tests.decide_world import NOW, Situation


def unapplied(situation: Situation) -> list[str]:
    return find_unapplied(situation.snapshot(), situation.decide().decision)


def at_rest(size: int = 2) -> Situation:
    return Situation({"client": size}).row(observed_generation=1)


def test_a_pool_at_rest_is_left_alone() -> None:
    assert unapplied(at_rest().add("ready", 1).add("assigned", 2)) == []


@pytest.mark.parametrize("kind", ["planned", "draining", "lost"])
def test_a_row_that_differs_from_the_state_wakes_its_pool(kind: str) -> None:
    assert unapplied(at_rest().add("ready", 1, 2).add(kind, 3)) == ["client"]


def test_an_order_to_start_a_vm_survives_the_controller_that_gave_it() -> None:
    given: dict[str, Any] = {"instance_state": "stopped", "started_at": NOW - timedelta(minutes=1)}
    assert unapplied(at_rest().add("ready", 1).add("assigned", 2, **given)) == ["client"]


def test_a_vm_that_stays_stopped_long_after_it_was_to_start_wakes_nobody_any_more() -> None:
    given: dict[str, Any] = {"instance_state": "stopped", "started_at": NOW - timedelta(minutes=11)}
    given["warning"] = "this VM has trouble (its instance is stopped): an admin has been told"
    assert unapplied(at_rest().add("ready", 1).add("assigned", 2, **given)) == []


@pytest.mark.parametrize(
    ("asked_min", "rebooted_min", "wakes"), [(1, None, True), (1, 5, True), (5, 1, False), (11, None, False)]
)
def test_a_wish_for_a_reboot_wakes_its_pool_until_it_is_fulfilled(
    asked_min: int, rebooted_min: int | None, wakes: bool
) -> None:
    wish: dict[str, Any] = {"reboot_asked_at": NOW - timedelta(minutes=asked_min)}
    if rebooted_min is not None:
        wish["rebooted_at"] = NOW - timedelta(minutes=rebooted_min)
    assert unapplied(at_rest().add("ready", 1).add("assigned", 2, **wish)) == (["client"] if wakes else [])


@pytest.mark.parametrize(("left_min", "wakes"), [(1, False), (-1, True)])
def test_a_run_that_should_be_over_wakes_its_pool_to_be_closed(left_min: int, wakes: bool) -> None:
    situation = at_rest().add("ready", 1, 2).run(ended_at=None, must_end_by=NOW + timedelta(minutes=left_min))
    assert unapplied(situation) == (["client"] if wakes else [])
