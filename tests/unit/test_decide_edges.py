"""The exact limits of what `decide` does: the last moment and the last VM on either side of each."""

from datetime import timedelta
from typing import Any

import pytest

from controller.decide.classify import RECLAIM_HEARD, is_reclaimed
from controller.decide.drift import find_base_drift, find_strays, find_text_drift, is_corrected
from controller.decide.tfplan import PlanRefusal, check_base_plan
from tests.decide_world import HOUR, NOW, OLD_HASH, REGION, Situation, build_lab, build_row, build_vm

MINUTE = timedelta(minutes=1)
FAR = "eu-west-1"


# -- many at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("broken", "repaired"), [(4, 4), (5, 0)])
def test_a_fifth_of_a_large_pool_is_repaired_and_no_more(broken: int, repaired: int) -> None:
    situation = Situation({"client": 20}).add("failed", *range(1, broken + 1)).add("ready", *range(broken + 1, 21))
    outcome = situation.decide()
    assert len(outcome.done("end")) == min(repaired, 20)
    assert outcome.condition("TooManyUnhealthy").status is (repaired == 0)


@pytest.mark.parametrize(("changed", "corrected"), [(4, True), (5, False)])
def test_a_fifth_that_was_changed_by_hand_is_replaced_and_no_more(changed: int, corrected: bool) -> None:
    pools: dict[str, Any] = {"client": {"size": 20, "drift": "correct", "update": {"surge": 20}}}
    situation = Situation(pools).base()
    situation.add("ready", *range(1, changed + 1), listed={"instance_type": "t3.small"})
    outcome = situation.add("ready", *range(changed + 1, 21)).decide()
    assert bool(outcome.done()) is corrected
    assert any("were changed at once" in reason for reason in outcome.held().values()) is not corrected


@pytest.mark.parametrize(("troubled", "moved"), [(4, True), (5, False)])
def test_a_fifth_of_those_in_use_are_given_another_vm_and_no_more(troubled: int, moved: bool) -> None:
    pools: dict[str, Any] = {"client": {"size": 20, "health": {"assigned": "replace"}}}
    situation = Situation(pools)
    situation.add("assigned", *range(1, troubled + 1), status="error")
    outcome = situation.add("ready", *range(troubled + 1, 21)).decide()
    warned = [action for action in outcome.decision.actions if action.kind == "set_session" and action.warning_ends_at]
    assert bool(warned) is moved


# -- instances that nothing has recorded ------------------------------------------------------------


def test_the_last_places_of_a_shard_are_counted_one_by_one() -> None:
    situation = Situation({"client": 60}).add("ready", *range(1, 49))
    for number in (61, 62, 63):
        situation.stray(f"i-new-{number}", f"lablink-client-dev-{number}")
    adopted = [action.shard for action in situation.decide().decision.actions if action.kind == "adopt"]
    assert sorted(adopted) == [1, 1, 2]


def test_who_comes_back_to_a_shard_with_a_single_row_keeps_it() -> None:
    situation = Situation({"client": 3}).add("ready", 1).add("ready", 2, shard=7).forgotten(3, shard=7)
    actions = situation.stray("i-back", "lablink-client-dev-3").decide().decision.actions
    assert [action.shard for action in actions if action.kind == "adopt"] == [7]


def test_the_one_that_lives_is_adopted_of_two_with_one_name() -> None:
    situation = Situation({"client": 1}).stray("i-new", "lablink-client-dev-7")
    situation.stray("i-old", "lablink-client-dev-7", launched_at=NOW - 2 * HOUR, state="shutting-down")
    (adopted,) = [action for action in situation.decide().decision.actions if action.kind == "adopt"]
    assert adopted.instance_id == "i-new"


def test_what_goes_and_has_no_row_says_so() -> None:
    situation = Situation({"client": 0}).stray("i-odd", "lablink-client-dev-7", state="shutting-down")
    assert "it is shutting-down and has no row" in situation.decide().judged("lablink-client-dev-7").reason


def test_a_former_row_comes_back_only_where_it_lived() -> None:
    situation = Situation({"client": 1}).forgotten(3, region=FAR).stray("i-back", "lablink-client-dev-3")
    outcome = situation.decide()
    assert [action.spec.region for action in outcome.decision.actions if action.kind == "adopt"] in ([], [REGION])
    assert "believed gone" not in " ".join(one.reason for one in outcome.decision.judgements)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_base_that_goes_is_no_home(wanted: bool) -> None:
    situation = Situation({"other": 0}).row("client").forgotten(3).base(wanted=wanted)
    outcome = situation.stray("i-back", "lablink-client-dev-3").decide()
    said = " ".join(one.reason for one in outcome.decision.judgements)
    assert ("believed gone" in said) is wanted


# -- drift ------------------------------------------------------------------------------------------


def test_what_somebody_added_to_a_base_is_told_and_what_is_declared_is_not() -> None:
    whole = {"security_group", "role", "role_policy", "instance_profile", "key_pair", "egress:0.0.0.0/0", "egress:::/0"}
    assert find_base_drift({*whole, "ingress:10.0.0.0/8"}, ["10.0.0.0/8"]) == ""
    assert find_strays({*whole, "ingress:10.0.0.0/8", "inline:more"}, ["10.0.0.0/8"]) == ["inline:more"]
    added = {*whole - {"key_pair"}, "attached:arn:aws:iam::aws:policy/AdministratorAccess"}
    said = "no key pair, policy attached to the role: arn:aws:iam::aws:policy/AdministratorAccess that is not declared"
    assert find_base_drift(added, []) == said


def test_a_policy_that_differs_is_told_statement_by_statement() -> None:
    found = {"role", "role_policy", "key_pair", "instance_profile", "security_group"}
    made, more = '{"Sid": "made"}', '{"Sid": "more"}'
    due = {"policy of the role": f'{{"Statement": [{made}]}}'}

    def say(text: str) -> str:
        return find_text_drift(found, {"policy of the role": text}, due)

    assert say(due["policy of the role"]) == ""
    assert say(f'{{"Statement": [{made}, {more}]}}') == f"policy of the role says also {more}"
    assert say(f'{{"Statement": [{more}]}}') == f"policy of the role says also {more} and not {made}"
    assert say(f'{{"Statement": [{made}], "Version": "1"}}').startswith('policy of the role says {"Statement"')
    long = f'{{"Sid": "{"x" * 300}"}}'
    assert say(f'{{"Statement": [{made}, {long}]}}') == f"policy of the role says also {long[:200]}…"
    assert find_text_drift(found, {"key": ""}, {"key": "ssh"}) == "key none instead of ssh"
    assert find_text_drift({"role"}, {}, {"key pair": "ssh"}) == ""


@pytest.mark.parametrize(("age", "corrected"), [(15 * MINUTE, True), (15 * MINUTE - timedelta(seconds=1), False)])
def test_a_young_vm_that_drifted_is_only_told_of(age: timedelta, corrected: bool) -> None:
    lab = build_lab({"client": {"size": 1, "drift": "correct"}})
    vm = build_vm(lab, build_row(), 1, age=age)
    assert is_corrected(vm, lab.pools["client"], NOW) is corrected
    assert not is_corrected(vm, build_lab({"client": 1}).pools["client"], NOW)
    assert not is_corrected(vm, None, NOW)


# -- moments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_a_word_of_spot_is_believed_for_a_quarter_of_an_hour_either_way(sign: int) -> None:
    lab = build_lab({"client": {"size": 1, "market": "spot"}})
    at = NOW + sign * RECLAIM_HEARD
    vm = build_vm(lab, build_row(), 1, reclaim_at=at)
    assert is_reclaimed(vm, NOW)
    assert not is_reclaimed(vm.model_copy(update={"reclaim_at": at + sign * timedelta(seconds=1)}), NOW)


@pytest.mark.parametrize(("age", "warned"), [(165 * MINUTE, True), (165 * MINUTE - timedelta(seconds=1), False)])
def test_a_session_is_warned_of_from_its_notice_on(age: timedelta, warned: bool) -> None:
    pools: dict[str, Any] = {"client": {"size": 1, "session": {"max": "3h"}}}
    situation = Situation(pools).add("assigned", 1, age=5 * HOUR, bound_at=NOW - age, ends_at=NOW - age + 3 * HOUR)
    warnings = [one for one in situation.decide().decision.actions if one.kind == "set_session" and one.warning]
    assert bool(warnings) is warned


def test_who_is_at_work_is_not_idle_however_long_ago_it_began() -> None:
    pools: dict[str, Any] = {"client": {"size": 1, "software": "sleap", "session": {"idle": "1h"}}}
    busy = Situation(pools).add("assigned", 1, age=9 * HOUR, in_use=True)
    assert busy.decide().done() == []
    idle = Situation(pools).add("assigned", 1, age=9 * HOUR, in_use=False)
    assert idle.decide().done() == ["set_session 1"]


# -- updates, plans, names --------------------------------------------------------------------------


def test_outdated_ones_that_boot_end_before_usable_ones_do() -> None:
    pools: dict[str, Any] = {"client": {"size": 3, "update": {"surge": 0, "unavailable": 1}}}
    situation = Situation(pools).add("outdated", 1, 2).add("booting", 3, spec_hash=OLD_HASH, age=MINUTE)
    assert situation.decide().done() == ["end 3"]


@pytest.mark.parametrize(("number", "said"), [(1, "d0"), (10, "d9"), (11, "d9; and 1 more"), (12, "d9; and 2 more")])
def test_a_refused_plan_shows_ten_differences(number: int, said: str) -> None:
    message = PlanRefusal(tuple(f"d{n}" for n in range(number))).message
    assert message.endswith(said)
    assert message.count(";") == min(number, 10) - (number <= 10)


def test_a_base_plan_that_moves_something_is_refused() -> None:
    change = {
        "address": "aws_key_pair.vm", "previous_address": "aws_key_pair.old", "mode": "managed", "type": "aws_key_pair",
        "change": {"actions": ["no-op"]},
    }  # fmt: skip
    refusal = check_base_plan({"errored": False, "complete": True, "resource_changes": [change]}, wanted=True)
    assert refusal is not None
    assert refusal.message == "moves aws_key_pair.old to aws_key_pair.vm"
