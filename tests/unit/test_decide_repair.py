"""Broken VMs are given up, in moderation; VMs in use never; doubt and silence of the cloud stop what rests on them."""

from datetime import timedelta

import pytest

from schemas.status import Condition
from tests.decide_world import HOUR, NOW, Situation


@pytest.mark.parametrize("kind", ["failed", "silent", "stopped"])
def test_a_broken_free_vm_is_ended_and_replaced(kind: str) -> None:
    outcome = Situation({"client": 2}).add("ready", 1).add(kind, 2).decide()
    assert outcome.done() == ["end 2", "create 3"]
    assert outcome.decision.actions[0].reason.startswith(f"{kind}: ")


def test_a_lost_vm_is_marked_and_replaced() -> None:
    assert Situation({"client": 2}).add("ready", 1).add("terminated", 2).decide().done() == ["lost 2", "create 3"]


def test_a_lost_vm_in_use_is_marked_too() -> None:
    assert Situation({"client": 1}).add("assigned", 1, instance_state="terminated").decide().done("lost") == ["lost 1"]


def test_without_surge_the_replacement_waits_for_the_end() -> None:
    situation = Situation({"client": {"size": 2, "update": {"surge": 0}}}).add("ready", 1).add("failed", 2)
    outcome = situation.decide()
    assert outcome.done() == ["end 2"]
    assert outcome.held()["create 1"] == "waits for 1 VM to end: the ceiling is 2"


def test_a_broken_vm_above_the_size_is_ended_without_a_replacement() -> None:
    assert Situation({"client": 1}).add("ready", 1).add("failed", 2).decide().done() == ["end 2"]


def test_too_many_unhealthy_vms_stop_repairs_and_call_a_person() -> None:
    outcome = Situation({"client": 10}).add("ready", *range(1, 7)).add("failed", *range(7, 11)).decide()
    assert outcome.done() == []
    assert outcome.condition("TooManyUnhealthy").status
    assert "a person is needed" in outcome.held()["replace lablink-client-dev-7"]


def test_three_unhealthy_vms_are_still_repaired() -> None:
    outcome = Situation({"client": 4}).add("ready", 1).add("failed", 2, 3, 4).decide()
    assert outcome.done("end") == ["end 2", "end 3", "end 4"]


def test_a_fifth_of_a_large_pool_is_still_repaired() -> None:
    assert (
        len(Situation({"client": 50}).add("ready", *range(1, 41)).add("failed", *range(41, 51)).decide().done("end"))
        == 10
    )
    assert (
        Situation({"client": 50}).add("ready", *range(1, 40)).add("failed", *range(40, 51)).decide().done("end") == []
    )


def test_a_grown_size_is_met_even_while_repairs_stop() -> None:
    outcome = Situation({"client": 12}).add("ready", *range(1, 7)).add("failed", *range(7, 11)).decide()
    assert outcome.done() == ["create 11", "create 12"]


def test_broken_vms_go_first_when_the_size_shrinks_even_while_repairs_stop() -> None:
    outcome = Situation({"client": 5}).add("ready", *range(1, 7)).add("failed", *range(7, 11)).decide()
    assert outcome.done() == ["end 7", "end 8", "end 9", "end 10", "end 6"]


def test_a_released_vm_is_replaced_by_a_clean_one() -> None:
    outcome = Situation({"client": 2}).add("ready", 1).add("released", 2).decide()
    assert outcome.done() == ["end 2", "create 3"]
    assert "released by its user" in outcome.decision.actions[0].reason


def test_a_stopped_vm_in_use_is_started_once() -> None:
    stopped = Situation({"client": 1}).add("assigned", 1, instance_state="stopped")
    assert stopped.decide().done() == ["start 1"]
    again = Situation({"client": 1}).add("assigned", 1, instance_state="stopped", started_at=NOW - HOUR).decide()
    assert again.done() == ["set_session 1"]
    assert again.condition("VmUnhealthy").status


def test_a_vm_that_is_still_stopping_is_not_started() -> None:
    assert Situation({"client": 1}).add("assigned", 1, instance_state="stopping").decide().done("start") == []


def test_too_many_losses_at_once_put_the_fleet_in_doubt() -> None:
    situation = Situation({"client": 4, "other": 1}).add("ready", 1).add("terminated", 2, 3, 4)
    outcome = situation.decide()
    assert outcome.done() == []
    assert outcome.condition("FleetSuspect").status
    assert outcome.condition("FleetSuspect", "other").status
    assert "3 VMs lost" in outcome.held()["mark lablink-client-dev-2 lost"]


def test_a_tenth_of_a_large_fleet_may_be_lost_at_once() -> None:
    situation = Situation({"client": 40}).add("ready", *range(1, 37)).add("terminated", *range(37, 41))
    assert len(situation.decide().done("lost")) == 4


def test_unexplained_instances_put_the_fleet_in_doubt_only_while_they_are_news() -> None:
    def strange(seen_for: timedelta) -> Situation:
        situation = Situation({"client": 2}).add("ready", 1)
        for n in range(3):
            situation.stray(f"i-{n}", f"elsewhere-{n}", "unknown", first_seen_at=NOW - seen_for)
        return situation

    assert strange(timedelta(minutes=10)).decide().done() == []
    assert strange(2 * HOUR).decide().done() == ["create 2"]


def test_a_region_without_a_listing_is_left_alone() -> None:
    outcome = Situation({"client": 2}).add("failed", 1).set(listings={}).decide()
    assert outcome.done() == []
    assert not outcome.condition("Observed").status
    assert outcome.held()["create 2"] == "the listing of us-west-2 could not be read whole"


def test_a_paused_pool_says_what_it_would_do() -> None:
    outcome = Situation({"client": {"size": 2, "paused": True}}).add("failed", 1).decide()
    assert outcome.done() == []
    assert outcome.condition("Paused").status
    assert outcome.held() == {
        "end lablink-client-dev-1": "the pool is paused (wanted because failed: it reports the status error; replaced)",
        "create 2": "the pool is paused",
    }


def test_observe_only_does_nothing_at_all() -> None:
    outcome = Situation({"client": 2}).add("terminated", 1).set(observe_only="the account is another one").decide()
    assert outcome.done() == []
    assert outcome.held()["create 2"] == "the account is another one"


def test_a_condition_keeps_its_since_while_its_status_stays() -> None:
    before = Condition(type="Ready", status=False, reason="Missing", message="", since=NOW - HOUR)
    foreign = Condition(
        type="PlanRefused", status=True, reason="Differs", message="one delete too many", since=NOW - HOUR
    )
    outcome = Situation({"client": 1}).row(conditions={"Ready": before, "PlanRefused": foreign}).decide()
    assert outcome.condition("Ready").since == NOW - HOUR
    assert outcome.condition("Converged").since == NOW
    assert outcome.condition("PlanRefused") == foreign
