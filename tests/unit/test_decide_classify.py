"""Every row is in exactly one bucket: a table of situations, and the rules that need more than a table."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.vm import GpuHealth, Phase, Seat, VmStatus
from tests.decide_world import NOW, Outcome, Situation

HOST = "lablink-client-dev-1"
MINUTE = timedelta(minutes=1)

TABLE: list[tuple[str, str, dict[str, Any], str]] = [
    ("planned", "planned", {}, "planned"),
    ("booting", "booting", {"age": 5 * MINUTE}, "booting"),
    ("ready", "ready", {}, "ready"),
    ("ready_though_cordoned", "ready", {"cordoned": True}, "ready"),
    ("ready_with_closed_seat_after_a_restore", "ready", {"seat": Seat.CLOSED}, "ready"),
    ("assigned", "assigned", {}, "assigned"),
    ("assigned_though_failed", "assigned", {"status": VmStatus.ERROR}, "assigned"),
    ("assigned_though_stopped", "assigned", {"instance_state": "stopped"}, "assigned"),
    ("assigned_though_outdated", "assigned", {"spec_hash": "v1:else"}, "assigned"),
    ("draining", "draining", {}, "draining"),
    ("draining_when_released", "released", {}, "draining"),
    ("draining_when_given_up_by_an_admin_though_lost", "released", {"instance_state": "terminated"}, "draining"),
    ("lost_phase", "lost", {}, "lost"),
    ("lost_when_terminated", "ready", {"instance_state": "terminated"}, "lost"),
    ("lost_when_shutting_down", "ready", {"instance_state": "shutting-down"}, "lost"),
    ("lost_even_if_assigned", "assigned", {"instance_state": "terminated"}, "lost"),
    ("lost_after_two_looks", "ready", {"missing_since": NOW - MINUTE, "heard_at": NOW - 5 * MINUTE}, "lost"),
    ("kept_after_one_look", "ready", {"missing_since": NOW - MINUTE / 2}, "ready"),
    ("kept_when_heard_since", "ready", {"missing_since": NOW - MINUTE, "heard_at": NOW}, "ready"),
    ("kept_when_young", "booting", {"age": 4 * MINUTE, "missing_since": NOW - 2 * MINUTE}, "booting"),
    ("stopped", "ready", {"instance_state": "stopped"}, "stopped"),
    ("stopped_while_stopping", "ready", {"instance_state": "stopping"}, "stopped"),
    ("failed_by_its_own_word", "ready", {"status": VmStatus.ERROR}, "failed"),
    ("failed_to_boot", "booting", {"age": 21 * MINUTE}, "failed"),
    ("not_failed_before_the_deadline", "booting", {"age": 19 * MINUTE}, "booting"),
    ("boot_counts_from_launch", "booting", {"age": 21 * MINUTE, "launched_at": NOW - 5 * MINUTE}, "booting"),
    ("boot_counts_from_the_row_before_launch", "booting", {"age": 21 * MINUTE, "launched_at": None}, "failed"),
    ("failed_gpu", "ready", {"gpu_health": GpuHealth.UNHEALTHY}, "failed"),
    (
        "gpu_of_a_type_without_one",
        "ready",
        {"gpu_health": GpuHealth.UNHEALTHY, "instance_type": "t3.large"},
        "outdated",
    ),
    ("silent", "ready", {"heard_at": NOW - 6 * MINUTE}, "silent"),
    ("not_silent_yet", "ready", {"heard_at": NOW - 4 * MINUTE}, "ready"),
    ("silence_of_one_without_reporter", "ready", {"heard_at": NOW - 60 * MINUTE, "reporter": False}, "ready"),
    ("never_heard_of", "ready", {"heard_at": None}, "ready"),
    ("outdated_by_hash", "ready", {"spec_hash": "v1:else"}, "outdated"),
    ("not_outdated_by_another_hash_version", "ready", {"spec_hash": "v0:else"}, "ready"),
    ("outdated_by_type", "ready", {"instance_type": "g5.xlarge"}, "outdated"),
    ("outdated_by_region", "ready", {"region": "us-east-1"}, "outdated"),
    ("planned_though_outdated", "planned", {"spec_hash": "v1:else"}, "planned"),
]


@pytest.mark.parametrize(("kind", "changes", "bucket"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_row_is_in_the_bucket_of(kind: str, changes: dict[str, Any], bucket: str) -> None:
    assert Situation({"client": 1}).add(kind, 1, **changes).decide().buckets() == {HOST: bucket}


def _bucket(pool: dict[str, Any], circumstances: dict[str, Any], kind: str, **changes: Any) -> str:
    return (
        Situation({"client": {"size": 1, **pool}}).set(**circumstances).add(kind, 1, **changes).decide().buckets()[HOST]
    )


def test_a_gpu_may_be_ignored() -> None:
    assert _bucket({"health": {"gpu": "ignore"}}, {}, "ready", gpu_health=GpuHealth.UNHEALTHY) == "ready"


def test_nobody_is_silent_while_no_api_is_up() -> None:
    assert _bucket({}, {"api_up_since": None}, "silent") == "ready"


def test_silence_counts_only_while_the_api_was_up() -> None:
    assert _bucket({}, {"api_up_since": NOW - 4 * MINUTE}, "silent") == "ready"
    assert _bucket({}, {"api_up_since": NOW - 6 * MINUTE}, "silent") == "silent"


def test_nobody_fails_to_boot_while_no_api_can_hear_it() -> None:
    late = {"age": 60 * MINUTE}
    assert _bucket({}, {"api_up_since": None}, "booting", **late) == "booting"
    assert _bucket({}, {"api_up_since": NOW - 4 * MINUTE}, "booting", **late) == "booting"
    assert _bucket({}, {"api_up_since": NOW - 6 * MINUTE}, "booting", **late) == "failed"


def test_a_zone_that_is_not_listed_any_more_is_outdated() -> None:
    zones = {"zones": ["us-west-2a", "us-west-2b"]}
    assert _bucket(zones, {}, "ready", zone="us-west-2c") == "outdated"
    assert _bucket(zones, {}, "ready", zone="us-west-2b") == "ready"
    assert _bucket(zones, {}, "ready") == "ready", "a VM whose zone is not known yet is not judged by it"


def test_a_second_choice_of_type_is_not_outdated() -> None:
    types = {"instance_type": ["g4dn.xlarge", "g5.xlarge"]}
    assert _bucket(types, {}, "ready", instance_type="g5.xlarge") == "ready"


def test_nobody_is_outdated_while_the_ami_is_unresolved() -> None:
    situation = Situation({"client": 1}).row(ami=None).add("ready", 1, spec_hash="v1:else")
    assert situation.decide().buckets() == {HOST: "ready"}


def test_one_look_that_lacks_an_instance_is_told_in_the_reason() -> None:
    outcome = Situation({"client": 1}).add("ready", 1, missing_since=NOW - MINUTE / 2).decide()
    assert "not believed yet" in outcome.judged(HOST).reason
    assert outcome.done() == []


def test_trouble_of_a_vm_in_use_is_told_but_ends_nobody() -> None:
    outcome = Situation({"client": 1}).add("assigned", 1, status=VmStatus.ERROR).decide()
    assert outcome.judged(HOST).reason == "assigned; failed: it reports the status error"
    assert outcome.done() == ["set_session 1"]
    assert outcome.condition("VmUnhealthy").status


def test_an_assignment_counts_as_taken_whatever_the_seat_says() -> None:
    outcome = Situation({"client": 0}).add("ready", 1, assignment_id=UUID(int=7)).decide()
    assert (outcome.buckets()[HOST], outcome.done()) == ("assigned", [])


def test_reasons_name_no_ages_so_that_an_idle_tick_changes_nothing() -> None:
    def decide_at(later: timedelta) -> Outcome:
        situation = Situation({"client": 3}).add("ready", 1, 2, reporter=False).add("assigned", 3, reporter=False)
        return situation.set(now=NOW + later).decide()

    early, late = decide_at(timedelta()).decision, decide_at(17 * MINUTE).decision
    assert early.judgements == late.judgements
    assert [_said(one) for one in early.pools["client"].conditions] == [
        _said(one) for one in late.pools["client"].conditions
    ]


def _said(condition: Any) -> tuple[str, bool, str]:
    return condition.type, condition.status, condition.message


def test_a_lost_row_keeps_its_reason() -> None:
    outcome = Situation({"client": 1}).add("lost", 1, reason="its instance is terminated").decide()
    assert outcome.judged(HOST).reason == "its instance is terminated"


def test_phases_are_all_judged() -> None:
    kinds = ("planned", "ready", "draining", "lost")
    situation = Situation({"client": 4})
    for number, kind in enumerate(kinds, 1):
        situation.add(kind, number)
    assert {vm.phase for vm in situation.vms} == set(Phase) - {Phase.GONE}
    assert sorted(situation.decide().buckets().values()) == sorted(kinds)
