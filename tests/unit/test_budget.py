"""Money holds growth back and nothing else: hourly, monthly, without a known price, while a change waits for a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.decide.approval import weigh_change
from controller.decide.budget import spent
from controller.decide.forecast import hours_ahead, reckon
from controller.decide.impact import total, weigh, weigh_plan
from controller.decide.invariants import InvariantViolated, check_invariants
from controller.decide.pool import decide
from controller.decide.prices import PriceList
from schemas.price import Approval, Usage
from tests.decide_world import NOW, Situation, build_lab

EACH = 0.526 + 50 * 0.08 / 730 + 0.005
TIER = 0.0832 + 130 * 0.08 / 730 + 0.005
WAITING = Approval(version=1, cleared_usd=2 * EACH, wanted_usd=9 * EACH)


def situation(size: int, **budget: float) -> Situation:
    return Situation({"client": size}, top={"budget": budget})


def test_growth_stops_where_the_next_vm_would_cost_too_much() -> None:
    outcome = situation(5, hourly=TIER + 3.5 * EACH).add("ready", 1).decide()
    assert outcome.done() == ["create 2", "create 3"]
    assert outcome.held()["create 2"] == f"the budget is ${TIER + 3.5 * EACH:,.2f} an hour, the allocator included"
    assert outcome.condition("BudgetReached").reason == "Hourly"


def test_budget_ends_nobody() -> None:
    outcome = situation(3, hourly=0.01).add("assigned", 1).add("ready", 2, 3).decide()
    assert outcome.done() == []
    assert not outcome.condition("BudgetReached").status


def test_pools_share_one_budget_in_the_order_of_their_names() -> None:
    pools = Situation({"alpha": 2, "beta": 2}, top={"budget": {"hourly": TIER + 3.2 * EACH}})
    outcome = pools.decide()
    assert outcome.done() == ["create 1", "create 2", "create 1"]
    assert not outcome.condition("BudgetReached", "alpha").status
    assert outcome.condition("BudgetReached", "beta").status


def test_what_is_used_up_counts_towards_the_month() -> None:
    used = Usage(
        pool="client", region="us-west-2", instance_type="g4dn.xlarge", volume_type="gp3", volume_size=50, hours=100
    )
    tight = situation(2, monthly=100 * EACH + 2).set(usage=(used,))
    assert spent(tight.snapshot(), PriceList()) == pytest.approx(100 * EACH + 9 * TIER)
    outcome = tight.decide()
    assert outcome.done() == ["create 1"]
    assert outcome.condition("BudgetReached").reason == "Monthly"
    assert situation(2, monthly=100 * EACH + 20).set(usage=(used,)).decide().done() == ["create 1", "create 2"]


def test_what_has_no_price_is_not_created_within_a_budget() -> None:
    pools: dict[str, Any] = {"client": {"size": 1, "instance_type": "x9.large"}}
    outcome = Situation(pools, top={"budget": {"hourly": 50.0}}).decide()
    assert outcome.done() == []
    assert outcome.condition("BudgetReached").reason == "PriceUnknown"
    assert Situation(pools).decide().done() == ["create 1"]
    priced = Situation(pools, top={"budget": {"hourly": 50.0}, "prices": {"x9.large": 2.0}})
    assert priced.decide().done() == ["create 1"]


def test_a_change_that_waits_grows_only_as_far_as_the_one_before() -> None:
    outcome = Situation({"client": 9}).add("ready", 1).set(approval=WAITING).decide()
    assert outcome.done() == ["create 2"]
    assert "`lablink approve 1`" in outcome.condition("ApprovalNeeded").message
    approved = WAITING.model_copy(update={"state": "approved"})
    assert len(Situation({"client": 9}).add("ready", 1).set(approval=approved).decide().done()) == 8


def test_the_check_catches_what_the_budget_let_through() -> None:
    snapshot = situation(3, hourly=TIER + 1.5 * EACH).snapshot()
    rich = decide(situation(3).snapshot())
    with pytest.raises(InvariantViolated, match="money") as violated:
        check_invariants(snapshot, rich)
    assert violated.value.pool == "client"
    check_invariants(situation(3, hourly=TIER + 3.5 * EACH).snapshot(), rich)
    with pytest.raises(InvariantViolated, match="money"):
        check_invariants(snapshot.model_copy(update={"lab": build_lab({"client": 3}), "approval": WAITING}), rich)


@pytest.mark.parametrize(
    ("before", "after", "asks"),
    [
        ({"above": 1.0, "size": 2}, {"above": 1.0, "size": 3}, False),
        ({"above": 1.0, "size": 2}, {"above": 1.0, "size": 4}, True),
        ({"above": 1.0, "size": 2}, {"size": 9}, True),  # no change lifts its own threshold
        ({"size": 2}, {"above": 1.0, "size": 9}, True),
        ({"size": 2}, {"size": 9}, False),
        ({"size": 10}, {"size": 1000}, True),  # a slip of the finger
        ({"above": None, "size": 10}, {"above": None, "size": 1000}, False),
        ({"above": 1.0, "size": 9}, {"above": 1.0, "size": 2}, False),
        ({"above": 9.0, "size": 1}, {"above": 9.0, "size": 1, "type": "x9.large"}, True),
        ({"size": 1}, {"size": 1, "type": "x9.large"}, False),  # who named no threshold is asked for slips alone
    ],
)
def test_who_has_to_ask(before: dict[str, Any], after: dict[str, Any], asks: bool) -> None:
    old, new = (
        build_lab(
            {"client": {"size": one["size"], "instance_type": one.get("type", "g4dn.xlarge")}},
            budget={"approve_above": one["above"]} if "above" in one else {},
        )
        for one in (before, after)
    )
    approval = weigh_change(2, old, new, PriceList())
    assert (approval is not None) is asks


def test_impact_says_money_and_people() -> None:
    situation = Situation({"client": 5}).add("outdated", 1, 2).add("assigned", 3, spec_hash="v1:0000000000000000")
    snapshot = situation.snapshot()
    impact = total(weigh(snapshot, decide(snapshot)))
    assert (impact.grow, impact.idle, impact.later, impact.disturbed) == (2, 2, 1, 0)
    assert impact.sentence == f"+2, replace 2 idle, 1 in use replaced later, 0 people disturbed, +${2 * EACH:,.2f}/h"


def test_impact_of_less_is_less() -> None:
    snapshot = Situation({"client": 1}).add("ready", 1, 2).add("failed", 3).snapshot()
    impact = total(weigh(snapshot, decide(snapshot)))
    assert impact.sentence == f"-1, 0 people disturbed, -${2 * EACH:,.2f}/h"
    broken = Situation({"client": 1}).add("failed", 1).snapshot()
    assert (
        total(weigh(broken, decide(broken))).sentence
        == "no VM more or less, replace 1 broken, 0 people disturbed, +$0.00/h"
    )


def test_plan_of_a_shard_says_what_it_costs() -> None:
    vms = Situation({"client": 3}).add("planned", 1, 2).add("draining", 3).snapshot().vms
    names = [vm.hostname for vm in vms]
    assert weigh_plan(PriceList(), vms, {*names[:2]}, {names[2]}) == f"0 people disturbed, +${EACH:,.2f}/h"
    unknown = [vm.model_copy(update={"spec": vm.spec.model_copy(update={"instance_type": "x9.large"})}) for vm in vms]
    assert "not counted: no price is known for x9.large" in weigh_plan(PriceList(), unknown, {*names}, set())


def test_forecast_is_what_was_spent_and_what_is_declared_until_the_month_ends() -> None:
    used = Usage(
        pool="client", region="us-west-2", instance_type="g4dn.xlarge", volume_type="gp3", volume_size=50, hours=10
    )
    costs = reckon(Situation({"client": 2}).add("ready", 1).set(usage=(used,)).snapshot())
    ahead = 31 * 24 - 9
    assert NOW.day == 1
    assert costs.pools[0].hourly == pytest.approx(EACH)
    assert costs.pools[0].so_far == pytest.approx(10 * EACH)
    assert costs.pools[0].forecast == pytest.approx((10 + 2 * ahead) * EACH)
    assert costs.so_far == pytest.approx(10 * EACH + 9 * TIER)
    assert costs.forecast > costs.so_far > costs.tier_so_far
    assert replace(costs, pools=()).hourly == pytest.approx(costs.tier_hourly)


def test_forecast_follows_windows_and_courses() -> None:
    window = {"cron": "0 9 * * *", "for": "8h", "size": 3}
    course = {"pool": "client", "from": "2026-12-02T18:00Z", "to": "2026-12-02T20:00Z", "seats": 11}
    lab = build_lab({"client": {"size": 1, "schedule": [window]}}, courses={"x": course})
    hours = hours_ahead(lab, "client", NOW, NOW + timedelta(days=2), present=0)
    assert hours == pytest.approx(2 * (8 * 3 + 16 * 1) + 10 * 2.5)
    elastic = build_lab({"client": {"size": {"min": 2, "max": 5}}})
    assert [hours_ahead(elastic, "client", NOW, NOW + timedelta(hours=1), present) for present in (0, 4, 9)] == [
        2,
        4,
        5,
    ]


def test_the_allocator_is_paid_for_since_it_is_there() -> None:
    young = Situation({"client": 0}).set(deployed_at=NOW - timedelta(hours=2))
    old = Situation({"client": 0}).set(deployed_at=NOW - timedelta(days=90))
    assert spent(young.snapshot(), PriceList()) == pytest.approx(2 * TIER)
    assert spent(old.snapshot(), PriceList()) == pytest.approx(9 * TIER)
