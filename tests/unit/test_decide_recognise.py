"""Instances without a row and rows without an instance: two looks, no run at work, and only what is explained."""

from datetime import timedelta
from typing import Any

import pytest

from controller.decide.recognise import ADOPTED_HASH
from schemas.decision import AdoptVm
from schemas.spec import spec_hash
from tests.decide_world import AMI, NOW, OLD_HASH, Situation

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
AT_WORK: dict[str, Any] = {"ended_at": None, "outcome": "running"}
JUST_SEEN: dict[str, Any] = {"first_seen_at": NOW - 59 * SECOND}


def _unrecorded(**instance: Any) -> Situation:
    return Situation({"client": 1}).add("planned", 1).stray("i-new", "lablink-client-dev-1", **instance)


def test_the_instance_of_a_killed_run_is_recorded_after_two_looks() -> None:
    assert _unrecorded(**JUST_SEEN).decide().done() == []
    assert _unrecorded().decide().done() == ["record 1"]
    assert _unrecorded().run().decide().done() == ["record 1"]


def test_a_running_run_records_its_own_instances() -> None:
    assert _unrecorded().run(**AT_WORK).decide().done() == []


def test_a_run_past_its_deadline_is_not_waited_for() -> None:
    assert _unrecorded().run(**AT_WORK, must_end_by=NOW - SECOND).decide().done() == ["record 1"]


def test_an_unrecorded_instance_is_its_rows_and_no_orphan() -> None:
    outcome = _unrecorded(**JUST_SEEN).decide()
    assert outcome.buckets() == {"lablink-client-dev-1": "planned"}
    assert outcome.decision.pools["client"].present == 1


def test_a_draining_row_gets_its_instance_too_so_that_it_can_be_destroyed() -> None:
    situation = Situation({"client": 0}).add("draining", 1, instance_id=None, instance_state=None, in_state=False)
    assert situation.stray("i-new", "lablink-client-dev-1").decide().done() == ["record 1"]


def test_of_two_instances_the_recorded_one_stays() -> None:
    situation = Situation({"client": 1}).add("assigned", 1).stray("i-dup", "lablink-client-dev-1")
    outcome = situation.decide()
    assert outcome.done() == ["end i-dup"]
    assert outcome.buckets() == {"lablink-client-dev-1": "assigned", "i-dup": "duplicate"}
    assert situation.run(**AT_WORK).decide().done() == []


def test_a_duplicate_is_ended_once_and_after_two_looks() -> None:
    situation = Situation({"client": 1}).add("ready", 1)
    situation.stray("i-a", "lablink-client-dev-1", **JUST_SEEN).stray(
        "i-b", "lablink-client-dev-1", verdict="terminate"
    )
    assert situation.decide().done() == []


def test_of_two_unrecorded_instances_the_older_is_recorded_first() -> None:
    situation = _unrecorded(launched_at=NOW - 20 * MINUTE)
    situation.stray("i-old", "lablink-client-dev-1", launched_at=NOW - 30 * MINUTE)
    (record,) = situation.decide().decision.actions
    assert record.kind == "record"
    assert record.instance_id == "i-old"


def test_an_orphan_that_its_tags_explain_is_adopted_after_two_looks() -> None:
    situation = Situation({"client": 2}).add("ready", 1).stray("i-new", "lablink-client-dev-7", **JUST_SEEN)
    assert situation.decide().done() == []
    assert situation.decide().buckets()["lablink-client-dev-7"] == "orphan"
    situation = Situation({"client": 2}).add("ready", 1).stray("i-new", "lablink-client-dev-7")
    (adopt,) = situation.decide().decision.actions
    assert isinstance(adopt, AdoptVm)
    assert (adopt.number, adopt.shard, adopt.instance_id) == (7, 1, "i-new")
    lab = situation.lab
    assert adopt.spec_hash == spec_hash(lab.pools["client"], AMI, "")


def test_an_adopted_vm_of_another_image_or_type_is_outdated() -> None:
    for changes in ({"image_id": "ami-0fedcba9876543210"}, {"instance_type": "g5.xlarge"}):
        (adopt,) = Situation({"client": 1}).stray("i-new", "lablink-client-dev-7", **changes).decide().decision.actions
        assert isinstance(adopt, AdoptVm)
        assert adopt.spec_hash == ADOPTED_HASH
        assert (adopt.spec.ami, adopt.spec.instance_type) != (AMI, "g4dn.xlarge")


def test_adoption_goes_above_the_ceiling_and_is_scaled_in_later() -> None:
    assert Situation({"client": 1}).add("ready", 1).stray("i-new", "lablink-client-dev-7").decide().done() == [
        "adopt 7"
    ]


def test_a_row_that_was_believed_gone_is_revived_as_it_was() -> None:
    situation = (
        Situation({"client": 1}).forgotten(3, spec_hash=OLD_HASH, shard=4).stray("i-back", "lablink-client-dev-3")
    )
    (adopt,) = situation.decide().decision.actions
    assert isinstance(adopt, AdoptVm)
    assert (adopt.hostname, adopt.spec_hash) == ("lablink-client-dev-3", OLD_HASH)
    assert adopt.shard != 4, "the shard ended with its last row"
    assert situation.add("ready", 5, shard=4).decide().decision.actions[0].shard == 4  # type: ignore[union-attr]


UNEXPLAINED = {
    "an undeclared pool": {"pool": "unknown"},
    "no pool": {"pool": None},
    "another region": {"region": "us-east-1"},
    "a foreign name": {"hostname": "somebody-else-1"},
    "no name": {"hostname": None},
    "another pool's name": {"hostname": "lablink-other-dev-1"},
    "a number written otherwise": {"hostname": "lablink-client-dev-007"},
    "a number beyond all counters": {"hostname": "lablink-client-dev-99999999999999999999"},
}


@pytest.mark.parametrize("changes", UNEXPLAINED.values(), ids=UNEXPLAINED.keys())
def test_what_nothing_explains_is_reported_and_left_alone(changes: dict[str, Any]) -> None:
    tags: dict[str, Any] = {"hostname": "lablink-client-dev-9", "pool": "client", **changes}
    situation = Situation({"client": 0, "other": {"size": 0, "region": "us-east-1", "ami": AMI}})
    outcome = situation.stray("i-odd", **tags).decide()
    assert outcome.done() == []
    assert outcome.buckets() == {tags["hostname"] or "i-odd": "orphan"}


def test_an_old_orphan_is_ended_only_where_that_is_declared() -> None:
    def orphan(orphans: str, seen_for: timedelta) -> Situation:
        situation = Situation({"client": {"size": 0, "orphans": orphans}})
        return situation.stray("i-odd", "strange", first_seen_at=NOW - seen_for)

    day = timedelta(hours=24)
    assert orphan("terminate", day).decide().done() == ["end i-odd"]
    assert orphan("terminate", day - SECOND).decide().done() == []
    assert orphan("report", day).decide().done() == []
    assert orphan("report", day).decide().condition("OrphansFound").status


def test_what_is_terminated_or_missing_is_no_orphan() -> None:
    situation = Situation({"client": 0}).stray("i-a", "lablink-client-dev-8", state="terminated")
    outcome = situation.stray("i-b", "lablink-client-dev-9", missing_since=NOW).decide()
    assert (outcome.done(), outcome.buckets()) == ([], {})


GONE: list[tuple[str, str, dict[str, Any], bool]] = [
    ("terminated and out of the state", "draining", {"instance_state": "terminated"}, True),
    ("terminated, still in the state", "draining", {"instance_state": "terminated", "in_state": True}, False),
    ("still shutting down", "draining", {"instance_state": "shutting-down"}, False),
    ("absent from one listing", "draining", {"instance_state": None, "missing_since": NOW - 59 * SECOND}, False),
    ("absent from two listings", "draining", {"instance_state": None, "missing_since": NOW - MINUTE}, True),
    ("never made", "draining", {"instance_state": None, "instance_id": None}, True),
    ("lost and forgotten", "lost", {}, True),
    ("lost and not yet forgotten", "lost", {"in_state": True}, False),
    ("lost while it shuts down", "lost", {"instance_state": "shutting-down"}, False),
]


@pytest.mark.parametrize(("kind", "changes", "gone"), [row[1:] for row in GONE], ids=[row[0] for row in GONE])
def test_a_row_is_gone_when_nothing_of_it_is_left(kind: str, changes: dict[str, Any], gone: bool) -> None:
    situation = Situation({"client": 0}).add(kind, 1, **{"in_state": False, **changes})
    assert situation.decide().done() == (["gone 1"] if gone else [])
    assert situation.run(**AT_WORK).decide().done() == [], "never while a run is at work"


def test_a_row_without_instance_waits_for_a_listing_after_the_last_run() -> None:
    def never_made(**run: Any) -> list[str]:
        situation = Situation({"client": 0})
        situation.add("draining", 1, in_state=False, instance_id=None, instance_state=None)
        return situation.run(**run).decide().done()

    assert never_made(ended_at=NOW - 4 * SECOND) == []
    assert never_made(ended_at=NOW - 5 * SECOND) == ["gone 1"]
    assert never_made(ended_at=None, outcome="running", must_end_by=NOW - 30 * MINUTE) == []  # not closed yet
    assert never_made(ended_at=NOW - 59 * SECOND, outcome="interrupted") == []
    assert never_made(ended_at=NOW - MINUTE, outcome="interrupted") == ["gone 1"]


def test_a_row_whose_instance_turns_up_is_not_gone() -> None:
    situation = Situation({"client": 0}).add("draining", 1, in_state=False, instance_id=None, instance_state=None)
    assert situation.stray("i-new", "lablink-client-dev-1", **JUST_SEEN).decide().done() == []


def test_the_base_of_a_removed_pool_ends_when_nothing_stands_on_it() -> None:
    assert Situation({"other": 0}).row("client").base().decide().done() == ["end base us-west-2"]
    assert Situation({"other": 0}).add("draining", 1).base().decide().done() == []
    assert Situation({"other": 0}).row("client").base().stray("i-odd", "strange").decide().done() == []
    assert Situation({"client": 0}).base().decide().done() == []


def test_the_base_of_a_region_that_a_pool_has_left_ends() -> None:
    moved = {"client": {"size": 0, "region": "us-east-1", "ami": AMI}}
    assert Situation(moved).base().base(region="us-east-1").decide().done() == ["end base us-west-2"]


def test_a_pool_that_moved_replaces_its_vms_one_after_another() -> None:
    situation = Situation({"client": {"size": 2, "region": "us-east-1", "ami": AMI}})
    assert situation.add("ready", 1, 2, region="us-west-2").decide().done() == ["create 3"]
