"""What Prometheus scrapes: the lab as it is, for who may read; and that every alert and panel speaks of what is there."""

import json
import re
from pathlib import Path

import httpx
import pytest
import ruamel.yaml
from prometheus_client.parser import text_string_to_metric_families

from schemas.conditions import Severity
from tests.api.world import YAML, World, serving

pytestmark = pytest.mark.anyio

MONITORING = Path(__file__).resolve().parents[2] / "deploy" / "monitoring"
RUN = """
INSERT INTO run (state_key, pool, token, must_end_by, started_at, ended_at, outcome, cause)
VALUES ('client/us-west-2/1', 'client', 1, now(), now() - interval '90 seconds', now(), 'failed', 'capacity')
"""


def read(answer: httpx.Response) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name, and by labels."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


async def fill(world: World) -> None:
    names = await world.add_vms(3)
    await world.sql("UPDATE seat SET state = 'free' WHERE hostname = ANY(%s)", names[:1])
    await world.sql(
        "UPDATE vm SET status = 'running', ready_at = created_at + interval '100 seconds', terraform_s = 7 WHERE hostname = %s",
        names[0],
    )
    for email in ("ada@example.org", "bob@example.org"):
        await world.http.post("/api/request_vm", data={"email": email, "crd_command": 'start-host --code="4/abc"'})
    await world.sql(RUN)


async def test_a_scrape_tells_the_lab_as_it_is(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "budget: {hourly: 30}\n") as world:
        await fill(world)
        found = read(await world.admin.get("/metrics"))
    assert found["lablink_vms_declared"] == {(("pool", "client"),): 2}
    assert sum(found["lablink_vms"].values()) == 3
    assert found["lablink_people"] == {
        (("pool", "client"), ("status", "active")): 1,
        (("pool", "client"), ("status", "waiting")): 1,
    }
    assert found["lablink_start_seconds"][(("part", "whole"), ("pool", "client"), ("quantile", "0.9"))] == 100
    assert found["lablink_start_seconds"][(("part", "terraform"), ("pool", "client"), ("quantile", "0.5"))] == 7
    failed = (("cause", "capacity"), ("outcome", "failed"), ("pool", "client"))
    assert found["lablink_terraform_runs"] == {failed: 1}
    assert found["lablink_terraform_longest_seconds"][failed] == pytest.approx(90, abs=1)
    assert found["lablink_controllers_leading"] == {(): 0}
    assert found["lablink_budget_usd"] == {(("per", "hour"),): 30}
    assert found["lablink_events"][(("reason", "Assigned"),)] == 1
    route = (("method", "POST"), ("path", "/api/request_vm"), ("status_code", "200"))
    assert sum(n for labels, n in found["lablink_requests_total"].items() if set(route) <= set(labels)) >= 1
    assert found["lablink_cost_usd_per_hour"][()] > 0
    assert found["lablink_trouble"][(("condition", "Converged"), ("severity", "info"), ("subject", "pool/client"))] == 1
    assert "ada" not in json.dumps([str(key) for values in found.values() for key in values])


async def test_only_who_may_read_scrapes(dsn: str) -> None:
    async with serving(dsn) as world:
        assert (await world.http.get("/metrics")).status_code == 401
        made = await world.admin.post("/api/v1/tokens", json={"name": "prometheus", "scope": "read"})
        scraped = await world.http.get("/metrics", headers={"Authorization": f"Bearer {made.json()['token']}"})
    assert "lablink_vms_declared" in read(scraped)


async def test_alerts_and_panels_speak_of_metrics_that_are_there(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "budget: {monthly: 100}\n") as world:
        await fill(world)
        there = set(read(await world.admin.get("/metrics")))
    alerts = (MONITORING / "alerts.yaml").read_text()
    panels = (MONITORING / "dashboard.json").read_text()
    json.loads(panels)
    for text in (alerts, panels):
        named = set(re.findall(r"\blablink_[a-z_]+\b", text))
        assert named <= there, named - there


def test_trouble_of_every_severity_alerts() -> None:
    groups = ruamel.yaml.YAML(typ="safe").load(MONITORING / "alerts.yaml")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    told = {kind for rule in rules for kind in re.findall(r'severity="([a-z]+)"', rule["expr"])}
    assert told >= {Severity.CRITICAL, Severity.WARNING}
    for rule in rules:
        assert rule["labels"]["severity"] in [*Severity]
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["todo"].endswith(".")
