"""The alert rules, tried by Prometheus's own tool: each condition has one, which fires with its severity and leads to its page."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import ruamel.yaml

from lablink.alert_rules import LASTS, name_of, write_rules
from schemas.conditions import CONDITIONS, Severity

MONITORING = Path(__file__).resolve().parents[2] / "deploy/monitoring"
URL = "https://lab.example.org"
LABELS = 'job="lablink", instance="a"'


def promtool(*words: str) -> None:
    assert shutil.which("promtool"), (
        "promtool is not installed: it comes with the package prometheus; `.ci/run` fetches it"
    )
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def try_rules(folder: Path, rules: str, every: str, tests: list[dict[str, Any]]) -> None:
    """promtool's own test file: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/"""
    file = folder / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [str(MONITORING / rules)], "evaluation_interval": every, "tests": tests}))
    promtool("test", "rules", str(file))


def given(series: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def read_alerts(name: str) -> list[dict[str, Any]]:
    groups = ruamel.yaml.YAML(typ="safe").load(MONITORING / name)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_prometheus_takes_rules_and_scrape(tmp_path: Path) -> None:
    for file in ("alerts.yaml", "conditions.yaml", "prometheus.yaml"):
        shutil.copy(MONITORING / file, tmp_path)
    promtool("check", "rules", str(tmp_path / "alerts.yaml"), str(tmp_path / "conditions.yaml"))
    text = (tmp_path / "prometheus.yaml").read_text()
    (tmp_path / "token").write_text("token")
    (tmp_path / "prometheus.yaml").write_text(text.replace("/etc/prometheus/lablink-token", str(tmp_path / "token")))
    promtool("check", "config", str(tmp_path / "prometheus.yaml"))


def test_the_rules_of_conditions_are_those_of_the_table() -> None:
    assert (MONITORING / "conditions.yaml").read_text() == write_rules(), "run `make alerts`"
    rules = {rule["labels"]["condition"]: rule for rule in read_alerts("conditions.yaml")}
    assert rules.keys() == CONDITIONS.keys()
    for name, kind in CONDITIONS.items():
        assert rules[name]["labels"]["severity"] == kind.severity
        assert kind.meaning in rules[name]["annotations"]["summary"]
        assert rules[name]["annotations"]["todo"] == kind.todo


def test_each_condition_alerts_in_its_time_and_leads_to_its_page(tmp_path: Path) -> None:
    cases, series = [], {f'lablink_info{{{LABELS}, url="{URL}", version="1"}}': "1x60"}
    for name, kind in CONDITIONS.items():
        where = f'{LABELS}, subject="pool/client", condition="{name}", severity="{kind.severity}"'
        series[f"lablink_trouble{{{where}}}"] = "1x60"
        series[f"lablink_trouble{{{where.replace('client', 'well')}}}"] = "0x60"
        expected = {
            "exp_labels": {"severity": str(kind.severity), "condition": name, "subject": "pool/client", "url": URL},
            "exp_annotations": {
                "summary": f"pool/client: {kind.meaning}",
                "todo": kind.todo,
                "runbook_url": f"{URL}/admin/conditions/{name}",
            },
        }
        cases += [
            {"eval_time": "0m", "alertname": name_of(name, kind)},
            {"eval_time": LASTS[kind.severity], "alertname": name_of(name, kind), "exp_alerts": [expected]},
        ]
    try_rules(
        tmp_path,
        "conditions.yaml",
        "1m",
        [{"interval": "1m", "input_series": given(series), "alert_rule_test": cases}],
    )


POOL = f'{LABELS}, pool="client"'
WAITING = f'lablink_people{{{POOL}, status="waiting"}}'
FAILED = f'lablink_requests_total{{{LABELS}, status_code="500"}}'
DONE = f'lablink_requests_total{{{LABELS}, status_code="200"}}'
WAIT = f'lablink_wait_seconds{{{POOL}, quantile="1"}}'
WHOLE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "LabLinkDown": ({f"up{{{LABELS}}}": "0x200"}, {f"up{{{LABELS}}}": "1x200"}),
    "LabLinkNobodyLeads": (
        {f"lablink_controllers_leading{{{LABELS}}}": "0x200"},
        {f"lablink_controllers_leading{{{LABELS}}}": "1x200"},
    ),
    "LabLinkLongApart": (
        {f'lablink_trouble{{{LABELS}, subject="pool/client", condition="Converged"}}': "1x200"},
        {f'lablink_trouble{{{LABELS}, subject="pool/client", condition="Converged"}}': "1x100 0x100"},
    ),
    "LabLinkPeopleWait": ({WAIT: "1000x200", WAITING: "2x200"}, {WAIT: "1000x200", WAITING: "0x200"}),
    "LabLinkRunsFail": (
        {f'lablink_terraform_runs{{{POOL}, outcome="failed", cause="provider"}}': "3x200"},
        {f'lablink_terraform_runs{{{POOL}, outcome="failed", cause="provider"}}': "2x200"},
    ),
    "LabLinkCallsFail": ({FAILED: "0+10x200", DONE: "0+100x200"}, {FAILED: "0+1x200", DONE: "0+900x200"}),
    "LabLinkCostRises": (
        {f"lablink_cost_usd_per_hour{{{LABELS}}}": "4x1500 20x200"},
        {f"lablink_cost_usd_per_hour{{{LABELS}}}": "12x1500 20x200"},
    ),
}
"""What each rule about the whole allocator is to see, and what is well enough."""


def test_each_rule_of_the_whole_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    rules = {rule["alert"]: rule for rule in read_alerts("alerts.yaml")}
    assert rules.keys() == WHOLE.keys()
    tests = []
    for name, (ill, well) in WHOLE.items():
        at = "1620m" if name == "LabLinkCostRises" else "180m"
        fires = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
        for series, fired in ((ill, 1), (well, 0)):
            expected = {"expr": fires, "eval_time": at, "exp_samples": [{"labels": "{}", "value": fired}]}
            tests.append({"interval": "1m", "input_series": given(series), "promql_expr_test": [expected]})
        assert rules[name]["labels"]["severity"] in [*Severity]
        assert rules[name]["annotations"]["summary"].endswith(".")
        assert rules[name]["annotations"]["todo"].endswith(".")
    try_rules(tmp_path, "alerts.yaml", "10m", tests)
