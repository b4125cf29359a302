"""Figures about money in full: what is not counted, what is counted once, and where a share or a month ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.decide.budget import used_share
from controller.decide.forecast import hours_ahead, month_of, reckon
from controller.decide.impact import weigh_plan
from controller.decide.money import Kind, Rate, paid_for, rate_of
from controller.decide.prices import PriceList
from controller.decide.quota_need import find_peak
from controller.decide.tier import tier_parts
from schemas.price import Usage
from tests.decide_world import NOW, REGION, Situation, build_lab

HOST = "lablink-client-dev-{}"
USED = Usage(pool="client", region=REGION, instance_type="g4dn.xlarge", volume_type="gp3", volume_size=50, hours=100)


def test_the_larger_share_of_the_two_budgets_is_told() -> None:
    def share(**budget: float) -> float | None:
        return used_share(
            Situation({"client": 1}, top={"budget": budget}).add("ready", 1).set(usage=(USED,)).snapshot()
        )

    costs = reckon(Situation({"client": 1}).add("ready", 1).set(usage=(USED,)).snapshot())
    assert share() is None
    assert share(hourly=10.0) == pytest.approx(costs.hourly / 10)
    assert share(monthly=100.0) == pytest.approx(costs.so_far / 100)
    assert share(hourly=1000.0, monthly=100.0) == pytest.approx(costs.so_far / 100)


def test_a_month_ends_where_the_next_one_begins() -> None:
    odd = timedelta(hours=13, minutes=7, seconds=5, microseconds=3)
    for day in (1, 15, 31):
        found = month_of(datetime(2026, 12, day, tzinfo=UTC) + odd)
        assert found == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert month_of(datetime(2027, 2, 28, tzinfo=UTC) + odd)[1] == datetime(2027, 3, 1, tzinfo=UTC)


def test_the_month_is_what_was_spent_and_what_is_declared_until_its_end() -> None:
    costs = reckon(Situation({"client": 2}).add("ready", 1).set(usage=(USED,)).snapshot())
    left_h = (month_of(NOW)[1] - NOW).total_seconds() / 3600
    (pool,) = costs.pools
    assert costs.tier_forecast == pytest.approx(costs.tier_so_far + costs.tier_hourly * left_h)
    assert pool.forecast == pytest.approx(pool.so_far + 2 * pool.hourly * left_h)
    assert pool.unpriced == ()
    removed = reckon(Situation({"other": 0}).add("ready", 1).set(usage=(USED,)).snapshot()).pools[0]
    assert removed.name == "client"
    assert removed.forecast == removed.so_far


def test_a_pool_without_a_price_says_so_once_and_costs_nothing() -> None:
    situation = Situation({"client": {"size": 1, "instance_type": "x9.large"}}).add("ready", 1)
    (pool,) = reckon(situation.snapshot()).pools
    assert (pool.hourly, pool.forecast) == (0.0, 0.0)
    assert len(pool.unpriced) == 1


def test_hours_ahead_know_courses_of_pools_without_windows() -> None:
    day = timedelta(days=1)
    course = {"pool": "client", "from": "2026-12-01T12:00Z", "to": "2026-12-01T14:00Z", "seats": 8}
    lab = build_lab({"client": 1}, courses={"c": course})
    assert hours_ahead(lab, "client", NOW, NOW + day, 1) == pytest.approx(24 + 7 * 2.5)
    window = {"from": "2026-12-01T12:00Z", "to": "2026-12-01T14:00Z", "size": 5}
    scheduled = build_lab({"client": {"size": 1, "schedule": [window]}})
    assert hours_ahead(scheduled, "client", NOW, NOW + day, 1) > 24 + 4 * 2 - 0.01
    assert hours_ahead(build_lab({"client": 3}), "client", NOW, NOW + day, 1) == 72


def test_the_shortest_course_counts_for_the_peak() -> None:
    course = {"pool": "client", "from": "2026-12-02T09:00Z", "to": "2026-12-02T09:30Z", "seats": 8}
    assert find_peak(build_lab({"client": 2}, courses={"c": course}), "client", NOW) == 8
    begun = course | {"from": "2026-12-01T08:00Z", "to": "2026-12-01T09:00Z"}
    assert find_peak(build_lab({"client": 2}, courses={"c": begun}), "client", NOW) == 2


def test_a_plan_weighs_only_rows_that_are_known() -> None:
    rows = Situation({"client": 3}).add("assigned", 1).add("ready", 2, 3).vms
    two, none = PriceList(), frozenset[str]()
    assert weigh_plan(two, rows, none, {HOST.format(1), HOST.format(9)}) == "1 person disturbed, -$0.54/h"
    assert weigh_plan(two, rows, {HOST.format(2), HOST.format(8)}, none) == "0 people disturbed, +$0.54/h"
    assert weigh_plan(two, rows, none, none) == "0 people disturbed, +$0.00/h"


def test_an_instance_beside_the_rows_is_paid_for_with_the_disk_of_its_pool() -> None:
    pools: dict[str, Any] = {"client": {"size": 0, "volume": {"size": 80, "type": "gp2"}}}
    situation = Situation(pools).stray("i-a", "lablink-client-dev-7").stray("i-b", "strange", None)
    assert paid_for(situation.snapshot()) == [
        Kind(REGION, "g4dn.xlarge", ("gp2", 80)),
        Kind(REGION, "g4dn.xlarge", ("gp3", 50)),
    ]
    assert rate_of(PriceList(), []) == Rate(0.0, ())


def test_what_depends_on_use_is_counted_by_vms_and_days() -> None:
    def part(name: str, vms: int, days: int) -> float:
        lab = build_lab({"client": 1}, logs={"cloudwatch_days": days})
        return next(one.usd or 0.0 for one in tier_parts(lab, PriceList(), vms) if one.name == name)

    stored = PriceList().part(REGION, "logs").usd * 0.002
    kept = PriceList().part(REGION, "logs_kept").usd * 0.002 * 24 / 730
    assert part("logs", 10, 7) == pytest.approx(10 * (stored + 7 * kept))
    assert part("logs", 10, 14) == pytest.approx(10 * (stored + 14 * kept))
    calls = PriceList().part(REGION, "lambda").usd * 120 + PriceList().part(REGION, "lambda_gib_s").usd * 120 * 0.0625
    assert part("Lambda", 10, 7) == pytest.approx(10 * calls)
    assert part("traffic", 10, 7) == pytest.approx(10 * PriceList().part(REGION, "traffic").usd * 0.05)
