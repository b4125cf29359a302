"""Outdated VMs are replaced with surge or with a gap, never while in use, and not by new ones that fail."""

from datetime import timedelta
from typing import Any

from schemas.status import Condition
from schemas.vm import VmStatus
from tests.decide_world import HOUR, NOW, OLD_HASH, Situation

MINUTE = timedelta(minutes=1)


def _pool(size: int, **update: int) -> dict[str, Any]:
    return {"client": {"size": size, "update": update}}


def test_with_a_surge_a_new_vm_comes_before_an_old_one_goes() -> None:
    outcome = Situation(_pool(3)).add("outdated", 1, 2, 3).decide()
    assert outcome.done() == ["create 4"]
    assert outcome.held()["replace 3 outdated VMs"] == "waits until a new VM is ready"


def test_a_booting_new_vm_replaces_nobody_yet() -> None:
    assert Situation(_pool(3)).add("outdated", 1, 2, 3).add("booting", 4, age=MINUTE).decide().done() == []


def test_when_the_new_one_is_ready_the_oldest_goes() -> None:
    situation = Situation(_pool(3)).add("outdated", 1, 3).add("outdated", 2, age=2 * HOUR).add("ready", 4)
    assert situation.decide().done() == ["end 2"]


def test_the_next_new_vm_waits_until_the_old_one_is_gone() -> None:
    situation = Situation(_pool(3)).add("outdated", 1, 3).add("ready", 4)
    situation.add("draining", 2, reason="outdated: its spec is not the declared one; replaced")
    outcome = situation.decide()
    assert outcome.done() == []
    assert outcome.held()["create 1"] == "waits for 1 VM to end: the ceiling is 4"


def test_a_surge_of_two_replaces_two_at_a_time() -> None:
    assert Situation(_pool(4, surge=2)).add("outdated", 1, 2, 3, 4).decide().done() == ["create 5", "create 6"]


def test_without_surge_at_most_the_unavailable_go_first() -> None:
    assert Situation(_pool(5, surge=0, unavailable=2)).add("outdated", 1, 2, 3, 4, 5).decide().done() == [
        "end 1",
        "end 2",
    ]
    going = Situation(_pool(5, surge=0, unavailable=2)).add("outdated", 3, 4, 5).add("draining", 1, 2).decide()
    assert going.done() == []
    assert going.held()["replace 3 outdated VMs"] == "at most 2 VMs may be missing at a time"


def test_no_old_vm_goes_while_nothing_may_be_created() -> None:
    failing: dict[str, Any] = {"failures": 2, "failed_at": NOW}
    situation = Situation(_pool(3, surge=0, unavailable=1)).row(**failing).add("outdated", 1, 2, 3)
    assert situation.decide().done() == []


def test_outdated_vms_in_use_wait_for_their_release() -> None:
    outcome = Situation(_pool(1)).add("assigned", 1, spec_hash=OLD_HASH).decide()
    assert outcome.done() == []
    assert "waits for its release" in outcome.held()["replace lablink-client-dev-1"]
    assert not outcome.decision.pools["client"].converged


def test_surge_is_for_free_vms_only() -> None:
    outcome = Situation(_pool(2)).add("assigned", 1, 2).add("outdated", 3).decide()
    assert outcome.done() == ["end 3"]


def test_outdated_vms_above_the_size_are_ended_without_replacement() -> None:
    assert Situation(_pool(0)).add("outdated", 1, 2).decide().done() == ["end 2", "end 1"]


def test_a_booting_outdated_vm_goes_before_a_ready_one() -> None:
    situation = Situation(_pool(3)).add("outdated", 1, 2).add("booting", 3, age=MINUTE, spec_hash=OLD_HASH)
    assert situation.add("ready", 4).decide().done() == ["end 3"]


def test_a_planned_vm_of_an_older_declaration_is_decided_anew() -> None:
    situation = Situation(_pool(1)).add("planned", 1, spec_hash=OLD_HASH)
    assert situation.decide().done()[0] == "end 1"
    at_work = Situation(_pool(1)).add("planned", 1, spec_hash=OLD_HASH).run(ended_at=None)
    assert at_work.decide().done() == []


def test_new_vms_that_fail_stop_the_replacing() -> None:
    situation = Situation(_pool(3)).add("outdated", 1, 2, 3).add("booting", 4, status=VmStatus.ERROR)
    outcome = situation.decide()
    assert outcome.done() == ["end 4"]
    assert outcome.condition("UpdateStalled").status
    assert "the outdated ones stay" in outcome.held()["replace 3 outdated VMs"]


def test_a_stalled_update_stays_so_for_an_hour_and_ends_with_another_spec() -> None:
    first = Situation(_pool(3)).add("outdated", 1, 2, 3).add("failed", 4).decide().condition("UpdateStalled")

    def later(since: timedelta, **changes: Any) -> list[str]:
        before = Condition(**{**first.model_dump(), "since": NOW - since, **changes})
        situation = Situation(_pool(3)).row(conditions={"UpdateStalled": before})
        return situation.add("outdated", 1, 2, 3).decide().done()

    assert later(59 * MINUTE) == []
    assert later(HOUR) == ["create 4"]
    assert later(MINUTE, message="new VMs of spec v1:another failed") == ["create 4"]


def test_a_new_version_of_the_hash_replaces_nobody() -> None:
    assert Situation(_pool(2)).add("ready", 1, 2, spec_hash="v0:0000000000000000").decide().done() == []
