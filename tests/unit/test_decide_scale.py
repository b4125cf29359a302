"""Size, ceiling, who is ended first, where and as what a VM is created."""

from datetime import timedelta
from typing import Any

from controller.decide.backoff import pause_s
from controller.decide.shards import allot_shards
from tests.decide_world import NOW, OLD_HASH, Situation

MINUTE = timedelta(minutes=1)


def test_an_empty_pool_is_filled() -> None:
    assert Situation({"client": 3}).decide().done() == ["create 1", "create 2", "create 3"]


def test_a_full_pool_is_left_alone() -> None:
    outcome = Situation({"client": 3}).add("ready", 1, 2).add("assigned", 3).decide()
    assert outcome.done() == []
    assert outcome.decision.pools["client"].converged


def test_booting_and_planned_vms_are_waited_for() -> None:
    outcome = Situation({"client": 3}).add("ready", 1).add("booting", 2, age=MINUTE).add("planned", 3).decide()
    assert outcome.done() == []
    assert not outcome.decision.pools["client"].converged


def test_scale_in_spares_assigned_vms() -> None:
    outcome = Situation({"client": 1}).add("assigned", 1, 2, 3).add("ready", 4).decide()
    assert outcome.done() == ["end 4"]
    assert "all in use" in outcome.held()["end 2 VMs"]


def test_scale_in_takes_what_costs_least_to_lose() -> None:
    situation = Situation({"client": 0})
    situation.add("ready", 1, age=5 * MINUTE).add("ready", 2, 3).add("ready", 4, cordoned=True)
    situation.add("outdated", 5).add("booting", 6, age=3 * MINUTE).add("booting", 7, age=MINUTE).add("planned", 8, 9)
    everybody, order = list(situation.vms), []
    for size in range(8, -1, -1):
        situation.pools = {"client": {"size": size, "update": {"surge": 0, "unavailable": 1}}}
        situation.vms = [vm for vm in everybody if vm.hostname not in order]
        ended = [action.hostname for action in situation.decide().decision.actions if action.kind == "end"]
        order += ended[:1]
    assert [int(hostname.rsplit("-", 1)[1]) for hostname in order] == [9, 8, 7, 6, 5, 4, 1, 3, 2]


def test_size_zero_ends_every_free_vm() -> None:
    assert Situation({"client": 0}).add("ready", 1, 2).decide().done() == ["end 2", "end 1"]


def test_a_removed_pool_drains_and_keeps_those_in_use() -> None:
    situation = Situation({"other": 0}).add("ready", 1).add("assigned", 2).add("failed", 3, 4, 5, 6, 7)
    outcome = situation.decide()
    assert sorted(outcome.done()) == ["end 1", "end 3", "end 4", "end 5", "end 6", "end 7"]


def test_draining_vms_count_at_the_ceiling() -> None:
    outcome = Situation({"client": 5}).add("ready", 1, 2).add("draining", 3, 4, 5).decide()
    assert outcome.done() == []
    assert outcome.held()["create 3"] == "waits for 3 VMs to end: the ceiling is 5"


def test_a_replaced_vm_that_drains_allows_the_surge() -> None:
    situation = Situation({"client": 2}).add("ready", 1).add("draining", 2, reason="failed: broken; replaced")
    assert situation.decide().done() == ["create 3"]


def test_orphans_and_duplicates_count_at_the_ceiling() -> None:
    situation = Situation({"client": 2}).add("ready", 1).stray("i-dup", "lablink-client-dev-1", first_seen_at=NOW)
    outcome = situation.decide()
    assert outcome.done() == []
    assert outcome.held()["create 1"] == "2 exist already: the ceiling is 2"


def test_names_are_never_used_again() -> None:
    situation = Situation({"client": 2}).row(counter=7).add("ready", 3)
    assert situation.decide().done() == ["create 8"]
    situation.stray("i-far", "lablink-client-dev-41", state="shutting-down")
    situation.pools = {"client": 3}
    assert situation.decide().done() == ["create 42"]


def test_a_shard_is_filled_to_fifty_and_its_number_never_comes_back() -> None:
    assert allot_shards({}, 3, 2) == [4, 4]  # type: ignore[arg-type]
    full = Situation({"client": 61}).add("ready", *range(1, 50)).add("ready", *range(50, 60), shard=2).decide()
    assert [one.shard for one in full.decision.actions if one.kind == "create"] == [1, 2]
    emptied = Situation({"client": 1}).row(shards=6).decide()
    assert [one.shard for one in emptied.decision.actions if one.kind == "create"] == [7]


def test_more_than_fifty_new_vms_take_several_shards() -> None:
    creates = [one for one in Situation({"client": 120}).decide().decision.actions if one.kind == "create"]
    assert [one.shard for one in creates] == [1] * 50 + [2] * 50 + [3] * 20


def test_a_new_vm_is_made_as_declared() -> None:
    pool = {"size": 1, "zones": ["us-west-2b"], "image": "ghcr.io/lab/desktop:1", "volume": {"size": 80}}
    (create,) = Situation({"client": pool}).row(generation=4, startup_script="echo hi").decide().decision.actions
    assert create.kind == "create"
    assert (create.spec.zone, create.spec.image, create.spec.volume_size) == ("us-west-2b", "ghcr.io/lab/desktop:1", 80)
    assert (create.spec.generation, create.spec.startup_script, create.spec.gpu) == (4, "echo hi", True)
    assert create.spec_hash != OLD_HASH


def test_a_refused_place_is_passed_over_for_three_minutes() -> None:
    pool = {"size": 1, "instance_type": ["g4dn.xlarge", "g5.xlarge"]}
    (create,) = Situation({"client": pool}).refuse("g4dn.xlarge").decide().decision.actions
    assert create.kind == "create"
    assert create.spec.instance_type == "g5.xlarge"
    (create,) = Situation({"client": pool}).refuse("g4dn.xlarge", ago=3 * MINUTE).decide().decision.actions
    assert create.kind == "create"
    assert create.spec.instance_type == "g4dn.xlarge"


def test_zones_are_tried_before_the_next_type() -> None:
    zones = ["us-west-2a", "us-west-2b"]
    pool = {"size": 1, "instance_type": ["g4dn.xlarge", "g5.xlarge"], "zones": zones}
    situation = Situation({"client": pool}).refuse("g4dn.xlarge", "us-west-2a")
    (create,) = situation.decide().decision.actions
    assert create.kind == "create"
    assert (create.spec.instance_type, create.spec.zone) == ("g4dn.xlarge", "us-west-2b")
    (create,) = situation.refuse("g4dn.xlarge", "").decide().decision.actions
    assert create.kind == "create"
    assert (create.spec.instance_type, create.spec.zone) == ("g5.xlarge", "us-west-2a")


def test_a_planned_vm_leaves_a_place_that_was_refused_meanwhile() -> None:
    pool = {"size": 2, "instance_type": ["g4dn.xlarge", "g5.xlarge"]}
    situation = Situation({"client": pool}).add("planned", 1).add("ready", 2).refuse("g4dn.xlarge")
    assert situation.decide().done() == ["end 1"]
    assert situation.run(ended_at=None).decide().done() == [], "not while a run may be making it"


def test_a_planned_vm_stays_when_every_place_was_refused() -> None:
    assert Situation({"client": 1}).add("planned", 1).refuse("g4dn.xlarge").decide().done() == []


def test_no_place_left_is_a_condition_with_the_time_of_the_next_try() -> None:
    outcome = Situation({"client": 2}).refuse("g4dn.xlarge").decide()
    assert outcome.done() == []
    assert outcome.condition("CapacityLacking").status
    assert outcome.decision.pools["client"].next_at == NOW + 2 * MINUTE
    assert "tried again at 2026-12-01 09:02:00 UTC" in outcome.held()["create 2"]


def test_backoff_doubles_and_then_stalls() -> None:
    assert [pause_s(failures) for failures in range(8)] == [0, 10, 20, 40, 80, 300, 600, 1200]
    assert pause_s(1000) == 7200


def test_creates_wait_after_a_failure_and_ends_do_not() -> None:
    failing: dict[str, Any] = {"failures": 3, "failed_at": NOW - timedelta(seconds=30), "failure": "BadAmi"}
    outcome = Situation({"client": 2}).row(**failing).add("ready", 1).decide()
    assert outcome.done() == []
    assert "waits until 2026-12-01 09:00:10 UTC after 3 failed runs in a row (BadAmi)" in outcome.held()["create 1"]
    assert outcome.condition("BackingOff").status
    assert outcome.decision.pools["client"].next_at == NOW + timedelta(seconds=10)
    assert Situation({"client": 0}).row(**failing).add("ready", 1).decide().done() == ["end 1"]


def test_creates_go_on_when_the_pause_is_over() -> None:
    outcome = Situation({"client": 1}).row(failures=3, failed_at=NOW - timedelta(seconds=40)).decide()
    assert outcome.done() == ["create 1"]
    assert not outcome.condition("BackingOff").status


def test_a_stalled_pool_says_so_and_still_tries_again() -> None:
    stalled = Situation({"client": 1}).row(failures=5, failed_at=NOW - 4 * MINUTE).decide()
    assert stalled.done() == []
    assert stalled.condition("Stalled").status
    again = Situation({"client": 1}).row(failures=5, failed_at=NOW - 5 * MINUTE, batch=1).decide()
    assert again.done() == ["create 1"]
    assert again.condition("Stalled").status


def test_a_batch_limits_what_is_in_flight() -> None:
    assert Situation({"client": 9}).row(batch=4).add("planned", 1).decide().done() == [
        "create 2",
        "create 3",
        "create 4",
    ]
    outcome = Situation({"client": 9}).row(batch=1).add("planned", 1).decide()
    assert outcome.done() == []
    assert "only 1 at a time" in outcome.held()["create 8"]


def test_nothing_is_created_before_the_ami_is_resolved() -> None:
    outcome = Situation({"client": 2}).row(ami=None).decide()
    assert outcome.done() == []
    assert outcome.held() == {"create 2": "the AMI is not resolved yet"}
    assert not outcome.condition("AmiResolved").status


def test_one_pools_trouble_does_not_delay_another() -> None:
    situation = Situation({"client": 1, "other": 1}).row("client", failures=9, failed_at=NOW)
    assert [action.pool for action in situation.decide().decision.actions] == ["other"]
