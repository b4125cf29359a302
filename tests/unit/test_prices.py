"""What things cost: whose word counts, other regions, what has no price; and the allocator tier part by part."""

from datetime import UTC, datetime

import pytest

from controller.decide.money import Kind, declared_rate, rate_of
from controller.decide.price_table import ELSEWHERE, FAMILIES, VOLUMES
from controller.decide.prices import HOURS_A_MONTH, PriceList
from controller.decide.tier import tier_parts, tier_rate
from schemas.aws_values import REGIONS
from schemas.price import LivePrice
from tests.decide_world import build_lab

LIVE = LivePrice(region="us-west-2", instance_type="g4dn.xlarge", usd=0.5, asked_at=datetime(2026, 12, 1, tzinfo=UTC))


def test_declared_prices_win_over_live_ones_and_those_over_the_table() -> None:
    for declared, live, expected in (
        ({}, (), (0.526, "table 2025-11-01")),
        ({}, (LIVE,), (0.5, "AWS 2026-12-01")),
        ({"g4dn.xlarge": 0.4}, (LIVE,), (0.4, "lablink.yaml")),
        ({"g4dn.xlarge": 0.4, "us-west-2/g4dn.xlarge": 0.3}, (LIVE,), (0.3, "lablink.yaml")),
        ({"eu-west-1/g4dn.xlarge": 0.3}, (), (0.526, "table 2025-11-01")),
    ):
        price = PriceList.of(declared, live).instance("us-west-2", "g4dn.xlarge")
        assert price is not None
        assert (price.usd, price.source) == expected


def test_a_family_costs_the_same_multiple_of_its_first_size_elsewhere() -> None:
    prices = PriceList()
    first, fourth = (prices.instance("eu-west-1", f"g4dn.{size}") for size in ("xlarge", "4xlarge"))
    assert first is not None
    assert fourth is not None
    assert first.usd == 0.587
    assert fourth.usd == pytest.approx(1.204 * 0.587 / 0.526, abs=1e-4)


@pytest.mark.parametrize(
    ("region", "kind"), [("eu-west-2", "g5.xlarge"), ("us-west-2", "g4dn.huge"), ("mx-central-1", "t3.large")]
)
def test_nothing_is_guessed(region: str, kind: str) -> None:
    assert PriceList().instance(region, kind) is None
    assert PriceList().vm(region, kind, ("gp3", 50)) is None
    assert f"`{region}/{kind}: 1.25`" in PriceList().missing(region, kind, "gp3")


def test_a_vm_costs_its_instance_its_disk_and_its_address() -> None:
    assert PriceList().vm("us-west-2", "g4dn.xlarge", ("gp3", 73)) == pytest.approx(
        0.526 + 0.08 * 73 / HOURS_A_MONTH + 0.005
    )


def test_the_table_is_of_regions_and_families_that_exist() -> None:
    assert {*ELSEWHERE, *VOLUMES} <= set(REGIONS)
    for families in ELSEWHERE.values():
        assert families.keys() <= FAMILIES.keys()
    assert all(price > 0 for sizes in FAMILIES.values() for price in sizes.values())


def test_kinds_without_a_price_are_named_beside_the_sum() -> None:
    kinds = [Kind("us-west-2", "g4dn.xlarge", ("gp3", 50))] * 2 + [Kind("us-west-2", "x9.large", ("gp3", 50))]
    rate = rate_of(PriceList(), kinds)
    assert rate.usd == pytest.approx(2 * (0.526 + 4 / HOURS_A_MONTH + 0.005))
    assert ["x9.large" in sentence for sentence in rate.unpriced] == [True]


def test_a_declaration_is_counted_at_its_largest_and_dearest() -> None:
    lab = build_lab({"client": {"size": 2, "instance_type": ["g4dn.xlarge", "g5.xlarge"]}})
    assert declared_rate(lab, PriceList()).usd == pytest.approx(2 * (1.006 + 4 / HOURS_A_MONTH + 0.005))


def test_the_tier_is_what_is_declared_around_the_allocator() -> None:
    plain = {part.name: part.usd for part in tier_parts(build_lab({}), PriceList())}
    assert plain["instance"] == 0.0832
    assert plain["disk"] == pytest.approx(0.08 * 130 / HOURS_A_MONTH)
    assert plain["logs"] == plain["Lambda"] == plain["traffic"] == 0.0
    rds = build_lab({}, database={"mode": "rds", "instance_class": "db.t4g.small", "multi_az": True})
    parts = {part.name: part.usd for part in tier_parts(rds, PriceList(), vms=10)}
    assert parts["database"] == 0.064
    assert parts["disk"] == pytest.approx(0.08 * 30 / HOURS_A_MONTH)
    assert min(parts["logs"] or 0, parts["Lambda"] or 0, parts["traffic"] or 0) > 0
    assert tier_rate(rds, PriceList(), 10) == pytest.approx(sum(usd or 0.0 for usd in parts.values()))
