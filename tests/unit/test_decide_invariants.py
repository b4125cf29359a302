"""The last look before a commit catches each kind of decision that must never be."""

from collections.abc import Callable

import pytest

from controller.decide.invariants import InvariantViolated, check_invariants, drop_unlawful
from controller.decide.pool import decide
from schemas.decision import Action, CreateVm, Decision, EndInstance, EndVm, MarkGone, RecordInstance
from schemas.snapshot import Listing
from tests.decide_world import AMI, NOW, OLD_HASH, REGION, Situation, build_spec

HOST = "lablink-client-dev-{}"


def _end(number: int, reason: str = "") -> EndVm:
    return EndVm(pool="client", hostname=HOST.format(number), version=1, reason=reason)


def _create(number: int, shard: int = 1) -> CreateVm:
    spec = build_spec()
    host = HOST.format(number)
    return CreateVm(pool="client", hostname=host, number=number, shard=shard, spec=spec, spec_hash=OLD_HASH, reason="")


def _with(situation: Situation, *actions: Action) -> Callable[[], None]:
    snapshot = situation.snapshot()
    decision = decide(snapshot).model_copy(update={"actions": actions})
    return lambda: check_invariants(snapshot, decision)


WRONG: dict[str, tuple[Callable[[], None], str]] = {
    "ends an assigned VM": (_with(Situation({"client": 1}).add("assigned", 1), _end(1)), "assigned"),
    "ends what drains": (_with(Situation({"client": 1}).add("draining", 1), _end(1)), "phase draining"),
    "two actions for one VM": (_with(Situation({"client": 1}).add("ready", 1), _end(1), _end(1)), "more than one"),
    "a present name": (_with(Situation({"client": 2}).add("ready", 1), _create(1)), "used before"),
    "an orphan's name": (
        _with(Situation({"client": 2}).stray("i-x", HOST.format(2)), _create(2)),
        "used before",
    ),
    "a number given before": (_with(Situation({"client": 2}).row(counter=5), _create(4)), "given before"),
    "the last number given": (_with(Situation({"client": 2}).row(counter=5), _create(5)), "given before"),
    "above the ceiling": (_with(Situation({"client": 1}).add("ready", 1), _create(2)), "ceiling of 1"),
    "above the ceiling by an orphan": (
        _with(Situation({"client": 1}).stray("i-x", "strange"), _create(1)),
        "ceiling of 1",
    ),
    "above the surge": (
        _with(Situation({"client": 1}).add("failed", 1), _create(2), _create(3)),
        "ceiling of 2",
    ),
    "an undeclared pool": (_with(Situation({"other": 1}).row("client"), _create(1)), "not declared"),
    "a full shard": (_with(Situation({"client": 60}).add("ready", *range(1, 51)), _create(51)), "hold 51"),
    "an unlisted region": (_with(Situation({"client": 1}).set(listings={}), _create(1)), "not listed"),
    "a paused pool": (_with(Situation({"client": {"size": 1, "paused": True}}), _create(1)), "paused"),
    "observe only": (_with(Situation({"client": 1}).set(observe_only="the account is another"), _create(1)), "another"),
    "forgets what the state holds": (
        _with(
            Situation({"client": 0}).add("draining", 1),
            MarkGone(pool="client", hostname=HOST.format(1), version=1, reason=""),
        ),
        "Terraform holds it",
    ),
    "records a second instance": (
        _with(
            Situation({"client": 1}).add("ready", 1),
            RecordInstance(pool="client", hostname=HOST.format(1), version=1, instance_id="i-x", reason=""),
        ),
        "already",
    ),
    "terminates a row's instance": (
        _with(
            Situation({"client": 1}).add("ready", 1).stray("i-client-1", HOST.format(1)),
            EndInstance(pool="client", instance_id="i-client-1", reason=""),
        ),
        "instance of a row",
    ),
}


@pytest.mark.parametrize(("check", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_decision_is_refused_that(check: Callable[[], None], said: str) -> None:
    with pytest.raises(InvariantViolated, match=said):
        check()


def test_an_unjudged_instance_is_refused() -> None:
    snapshot = Situation({"client": 0}).stray("i-x", "strange").snapshot()
    with pytest.raises(InvariantViolated, match="not judged"):
        check_invariants(snapshot, Decision(now=snapshot.now, version=1))


def test_a_pool_that_breaks_a_rule_is_held_back_and_the_others_go_on() -> None:
    snapshot = Situation({"client": 1, "other": 1}).add("assigned", 1).snapshot()
    lawful = decide(snapshot)
    assert [action.pool for action in lawful.actions] == ["other"]
    end = EndVm(pool="client", hostname="lablink-client-dev-1", version=1, reason="a bug")
    kept = drop_unlawful(snapshot, lawful.model_copy(update={"actions": (end, *lawful.actions)}))
    assert kept.actions == lawful.actions
    refused = next(one for one in kept.pools["client"].conditions if one.type == "DecisionRefused")
    assert refused.status
    assert "assigned" in refused.message
    assert not kept.pools["client"].converged


def test_a_released_vm_in_a_region_that_cannot_be_listed_counts_as_being_replaced() -> None:
    situation = Situation({"client": {"size": 1, "region": "eu-west-1", "ami": {"eu-west-1": AMI}}})
    situation.add("released", 1, region=REGION).set(listings={"eu-west-1": Listing(region="eu-west-1", taken_at=NOW)})
    snapshot = situation.snapshot()
    check_invariants(snapshot, decide(snapshot))


def test_another_regions_instance_is_never_taken_for_a_rows() -> None:
    situation = Situation({"client": 1}).add("planned", 1).stray("i-far", "lablink-client-dev-1", region="eu-west-1")
    outcome = situation.set(
        listings={region: Listing(region=region, taken_at=NOW) for region in (REGION, "eu-west-1")}
    ).decide()
    assert outcome.done("record") == []
    assert outcome.buckets()["i-far"] == "orphan"
