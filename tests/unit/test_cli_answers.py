"""What the command line prints of the server's other answers, and the commands that need no server."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import bcrypt
import pytest

from schemas.settings import Settings
from tests.unit.cli import Answer, answering, run_cli


def test_hash_password_reads_standard_input_and_prints_bcrypt() -> None:
    done = run_cli("hash-password", stdin="correct horse\n")
    assert done.status == 0
    assert bcrypt.checkpw(b"correct horse", done.out.strip().encode())


@pytest.mark.parametrize("password", ["short\n", "", "ä" * 40 + "\n"])
def test_hash_password_refuses_what_bcrypt_or_people_should_not_take(password: str) -> None:
    done = run_cli("hash-password", stdin=password)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("The password ")


def test_programs_name_the_settings_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LABLINK_{name.upper()}", raising=False)
    done = run_cli("serve")
    assert done.status == 1
    assert "LABLINK_DATABASE_DSN" in done.err


def test_the_module_runs_and_keeps_stdout_clean(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "lablink", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("change", ["release", "replace", "cordon", "uncordon"])
def test_a_change_of_a_vm_says_the_servers_sentence(change: str) -> None:
    path = f"/api/v1/vms/lablink-client-dev-1/{change}"
    with answering({f"POST {path}": Answer(200, {"message": "lablink-client-dev-1 is changed"})}) as calls:
        done = run_cli(change, "lablink-client-dev-1")
    assert (done.status, done.out) == (0, "lablink-client-dev-1 is changed.\n")
    assert "force=true" not in calls[0].path


def test_replace_takes_somebodys_vm_only_when_forced() -> None:
    with answering({"POST /api/v1/vms/a/replace": Answer(200, {"message": "a will be replaced"})}) as calls:
        assert run_cli("replace", "a", "--force").status == 0
    assert calls[0].path.endswith("?force=true")


def test_version_is_printed() -> None:
    assert run_cli("--version").out == f"lablink {version('lablink')}\n"


def test_replay_shows_the_decision_and_whether_it_still_is_the_same() -> None:
    tick = {"rendered": "version 1\n", "same": True, "difference": ""}
    other = {"rendered": "version 1\n", "same": False, "difference": "--- decided then\n+  create x\n"}
    with answering({"GET /api/v1/ticks/7": Answer(200, tick), "GET /api/v1/ticks/8": Answer(200, other)}):
        assert "the answer is the same" in run_cli("replay", "7").out
        said = run_cli("replay", "8").out
    assert "another one now" in said
    assert "+  create x" in said


def test_replay_without_a_number_lists_the_stored_ticks() -> None:
    ticks = {"items": [{"id": 7, "at": "2026-12-01T09:00:00Z", "version": 3, "actions": 12}], "next": None}
    with answering({"GET /api/v1/ticks": Answer(200, ticks)}):
        heading, row = run_cli("replay").out.splitlines()
    assert heading.split() == ["id", "at", "version", "actions"]
    assert (row.split()[0], row.split()[-2:]) == ("7", ["3", "12"])


COSTS = {
    "hourly": 1.23,
    "so_far": 45.6,
    "forecast": 789.0,
    "pools": [
        {
            "name": "client",
            "vms": 2,
            "hourly": 1.07,
            "so_far": 40.0,
            "forecast": 700.0,
            "instance_type": "g4dn.xlarge",
            "price": {"usd": 0.526, "source": "table 2025-11-01"},
        }
    ],
    "allocator": {"hourly": 0.16, "so_far": 5.6, "forecast": 89.0, "parts": []},
    "budget": {"hourly": 2.0, "monthly": None, "approve_above": None},
    "approval": {"version": 4, "cleared_usd": 1.0, "wanted_usd": 9.0, "state": "waiting"},
    "unpriced": ["no price is known for x9.large in us-west-2"],
}


def test_costs_are_a_table_with_what_is_not_in_it() -> None:
    with answering({"GET /api/v1/costs": Answer(200, COSTS)}):
        lines = run_cli("costs").out.splitlines()
        assert json.loads(run_cli("costs", "--json").out) == COSTS
    assert lines[1].split()[:5] == ["client", "2", "$1.07", "$40.00", "$700.00"]
    assert lines[3].split() == ["total", "$1.23", "$45.60", "$789.00"]
    assert "Not counted: no price is known for x9.large in us-west-2" in lines
    assert "Budget: $1.23 of $2.00 an hour." in lines
    assert "Version 4 waits for `lablink approve 4`." in lines


RECEIVERS = [{"way": "slack", "to": "hooks.slack.com", "on": ["PoolStalled"], "severity": "warning"}]

MESSAGE = {
    "id": 3,
    "at": "2026-11-01T09:00:00Z",
    "to": "hooks.slack.com",
    "topic": "test",
    "state": "test",
    "message": "a test",
    "attempts": 1,
    "outcome": "sent",
    "error": None,
}


def test_notify_lists_receivers_and_what_became_of_messages() -> None:
    found = {"receivers": RECEIVERS, "items": [MESSAGE], "next": None}
    with answering({"GET /api/v1/notify": Answer(200, found)}):
        lines = run_cli("notify").out.splitlines()
    assert lines[0] == "slack hooks.slack.com: PoolStalled from warning on"
    assert lines[2].split()[-2:] == ["test", "sent"]


def test_notify_test_says_whom_it_reached() -> None:
    failed = {**MESSAGE, "id": 4, "to": "example.org", "outcome": "given up", "error": "it answered 500"}
    answers = {
        "POST /api/v1/notify/test": Answer(200, {"items": [{"id": 3}, {"id": 4}]}),
        "GET /api/v1/notify": Answer(200, {"receivers": RECEIVERS, "items": [failed, MESSAGE], "next": None}),
    }
    with answering(answers):
        done = run_cli("notify", "test")
    assert done.out.splitlines() == ["hooks.slack.com: sent", "example.org: given up (it answered 500)"]
    assert (done.status, done.err) == (1, "Not every receiver was reached.\n")


def test_notify_key_prints_nothing_but_the_key() -> None:
    with answering({"POST /api/v1/notify/key": Answer(200, {"key": "ab12"})}):
        assert run_cli("notify", "key").out == "ab12\n"


def test_reboot_runs_and_capacity_are_calls_of_the_api() -> None:
    run = {"id": 7, "started_at": "2026-12-01T09:00:00Z", "state_key": "client/us-west-2/1", "outcome": "failed"}
    run |= {"creates": 2, "imports": 0, "deletes": 0, "message": "no room"}
    place = {"pool": "client", "region": "us-west-2", "instance_type": "g4dn.xlarge", "zone": ""}
    place |= {"market": "spot", "cause": "quota"}
    need = {"region": "us-west-2", "market": "spot", "quota": "G and VT", "code": "L-3819A6DF", "vcpus": 24}
    need |= {"pools": ["client", "second"], "used_up": True, "limit": 16.0, "why": ""}
    answers = {
        "POST /api/v1/vms/lab-1/reboot": Answer(200, {"message": "lab-1 will be rebooted"}),
        "GET /api/v1/runs": Answer(200, {"items": [run], "next": None}),
        "GET /api/v1/runs/7": Answer(200, run | {"output": "Error: no room\n"}),
        "GET /api/v1/capacity": Answer(200, {"items": [place | {"refused_at": None, "again_at": None}], "next": None}),
        "GET /api/v1/capacity/week": Answer(200, {"items": [need], "next": None}),
    }
    with answering(answers) as calls:
        assert run_cli("reboot", "lab-1").out == "lab-1 will be rebooted.\n"
        listed = run_cli("runs", "--pool", "client", "--status", "failed").out.splitlines()
        assert listed[1].split() == [
            "7",
            *listed[1].split()[1:3],
            "client/us-west-2/1",
            "failed",
            "2",
            "0",
            "0",
            "no",
            "room",
        ]
        assert calls[-1].path.endswith("limit=20&pool=client&status=failed")
        assert run_cli("runs", "7").out.endswith("failed: no room\nError: no room\n")
        told = [line.split() for line in run_cli("capacity").out.splitlines()]
        assert told[1] == ["client", "us-west-2", "spot", "g4dn.xlarge", "any", "quota"]
        assert told[-1] == [
            "client,",
            "second",
            "us-west-2",
            "spot",
            "G",
            "and",
            "VT",
            "L-3819A6DF",
            "24",
            *[
                "16:",
                "ask",
                "AWS",
                "for",
                "more,",
                "or",
                "declare",
                "less;",
                "AWS",
                "has",
                "refused",
                "VMs",
                "for",
                "it",
            ],
        ]


def test_collect_writes_the_zip_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "files.zip"
    with answering({"GET /api/scp-client": Answer(200, "PK the zip")}) as calls:
        done = run_cli("collect", str(target), "--pool", "client")
        assert (done.status, done.out) == (0, f"{target} has 10 bytes.\n")
        assert target.read_text() == "PK the zip"
        assert calls[0].path == "/api/scp-client?pool=client"
        assert "there already" in run_cli("collect", str(target)).err
        assert run_cli("collect", str(target), "--force").status == 0
        assert "cannot be written" in run_cli("collect", str(tmp_path / "nowhere" / "files.zip")).err
    with answering({"GET /api/scp-client": Answer(404, {"error": "nobody has a VM there"})}):
        refused = run_cli("collect", str(tmp_path / "other.zip"))
        assert (refused.status, refused.err) == (1, "Nobody has a VM there.\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files.zip"]
