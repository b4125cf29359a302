"""What docs/deploy.md says that an arrangement costs is what the price table says."""

import re
from pathlib import Path
from typing import Any

import pytest

from controller.decide.price_table import AS_OF
from controller.decide.prices import HOURS_A_MONTH, PriceList
from controller.decide.tier import ROOT_GIB, tier_parts
from schemas.lab import Lab

TEXT = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
NAMED: dict[str, Any] = {"dns": {"enabled": True, "domain": "lab.example.org"}}
ARN = "arn:aws:acm:us-west-2:123456789012:certificate/435ec41c-a46c-46a4-82a7-3bee330ed5d0"
ARRANGEMENTS: list[dict[str, Any]] = [
    {},
    NAMED | {"ssl": {"provider": "letsencrypt", "email": "a@example.org"}},
    NAMED
    | {
        "ssl": {"provider": "acm", "certificate_arn": ARN},
        "database": {"mode": "rds", "instance_class": "db.t4g.small", "multi_az": True},
        "allocator": {"replicas": 2},
    },
]


def row(start: str, column: int) -> int:
    """The figure of an arrangement in the row that begins so; 0 for a dash."""
    (line,) = (line for line in TEXT.splitlines() if line.startswith(f"| {start}"))
    found = re.search(r"\d+", line.split("|")[column + 2])
    return int(found[0]) if found else 0


@pytest.mark.parametrize("column", [0, 1, 2])
def test_figures_are_those_of_the_price_table(column: int) -> None:
    lab = Lab.model_validate({"pools": {}, "region": "us-west-2"} | ARRANGEMENTS[column])
    usd = {part.name: (part.usd or 0.0) * HOURS_A_MONTH for part in tier_parts(lab, PriceList())}
    root = usd["disk"] * ROOT_GIB / (ROOT_GIB + 100) if column < 2 else usd["disk"]
    assert row("machine", column) == round(usd["instance"])
    assert row("its disk", column) == round(root)
    assert row("volume", column) == round(usd["disk"] - root)
    assert row("public IPv4", column) == round(usd["address"])
    assert row("load balancer", column) == round(usd.get("load balancer", 0) + usd.get("load balancer unit", 0))
    assert row("its addresses", column) == round(usd.get("load balancer addresses", 0))
    assert row("RDS", column) == round(usd.get("database", 0) + usd.get("database storage", 0))
    known = round(sum(usd.values()))
    assert abs(row("**together", column) - known - row("snapshots", column) - row("hosted zone", column)) <= 1


@pytest.mark.parametrize(("heading", "column"), [("by its address", 0), ("Let's Encrypt", 1), ("Cloudflare", 1), ("load balancer", 2)])  # fmt: skip
def test_each_arrangement_says_what_it_costs_together(heading: str, column: int) -> None:
    section = next(part for part in TEXT.split("\n### ") if heading in part.splitlines()[0])
    assert f"About ${row('**together', column)} a month" in section


def test_an_external_database_saves_volume_and_snapshots() -> None:
    saved = row("volume", 1) + row("snapshots", 1)
    assert f"snapshots: about ${row('**together', 1) - saved} a month" in TEXT


def test_the_date_of_the_prices_is_told() -> None:
    assert f"as of {AS_OF}" in TEXT
