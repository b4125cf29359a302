"""What Prometheus scrapes: the lab as it is, for who may read; and that every alert and panel speaks of what is there."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

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


DECIDED = """
INSERT INTO event (actor, subject, reason, message, detail)
VALUES ('controller', 'vm/a', 'VmPlanned', '2 declared, 0 there or on their way', '{"pool": "client"}'),
       ('controller', 'vm/b', 'VmPlanned', '2 declared, 1 there or on their way', '{"pool": "client"}'),
       ('controller', 'vm/c', 'VmDraining', 'more VMs than the 2 declared', '{"pool": "client"}')
"""
SPOKEN_OF = {
    "pools": ("lablink_vms_declared", "lablink_vms_ceiling", "lablink_pools_not_converged"),
    "buckets": ("lablink_vms",),
    "decisions by reason": ("lablink_decisions", "lablink_actions_held"),
    "Terraform runs and their parts": ("lablink_terraform_runs", "lablink_terraform_part_seconds"),
    "start-up times by part": ("lablink_start_seconds",),
    "waits": ("lablink_wait_seconds",),
    "wake-ups": ("lablink_wake_ups_total", "lablink_wake_up_seconds_bucket"),
    "logs": ("lablink_log_lines_total",),
    "budget": ("lablink_budget_usd", "lablink_cost_usd_month"),
    "leases": ("lablink_controllers_leading", "lablink_lease_seconds"),
    "HTTP": ("lablink_request_duration_seconds_bucket",),
}
"""What an admin expects to be told of, and the panels that show it."""


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
    await world.sql(DECIDED)


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
    part = (("part", "plan"), ("pool", "client"), ("quantile", "0.9"))
    assert found["lablink_terraform_part_seconds"] == {
        part: pytest.approx(90, abs=1),
        tuple({**dict(part), "quantile": "0.5"}.items()): pytest.approx(90, abs=1),
    }
    assert found["lablink_controllers_leading"] == {(): 0}
    assert found["lablink_budget_usd"] == {(("per", "hour"),): 30}
    assert found["lablink_events"][(("reason", "Assigned"),)] == 1
    assert found["lablink_decisions"] == {
        (("decision", "VmPlanned"), ("pool", "client"), ("reason", "… declared, … there or on their way")): 2,
        (("decision", "VmDraining"), ("pool", "client"), ("reason", "more VMs than the … declared")): 1,
    }
    assert found["lablink_info"] == {(("url", "http://127.0.0.1:5000"), ("version", version("lablink"))): 1}
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
    shown = [target["expr"] for panel in json.loads(panels)["panels"] for target in panel.get("targets", ())]
    for what, names in SPOKEN_OF.items():
        assert set(names) <= there, what
        for name in names:
            assert any(re.search(rf"\b{name}\b", expression) for expression in shown), f"no panel shows {name}"
    told = set(re.findall(r"`(lablink_[a-z_]+)`", (MONITORING.parents[1] / "docs/monitoring.md").read_text()))
    plain = {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name) for name in there if name.startswith("lablink_")}
    assert told == {name for name in plain if not name.endswith("_created")}
    conditions = (MONITORING / "conditions.yaml").read_text()
    for text in (alerts, conditions, panels):
        named = set(re.findall(r"\blablink_[a-z_]+\b", text))
        assert named <= there, named - there
