"""What the command line prints of the server's answers, and the commands that need no server."""

import io
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from rich.console import Console

from lablink.display import news_lines, render_status, status_lines
from schemas.settings import Settings
from tests.unit.cli import Answer, answering, run_cli

POOL = {
    "name": "client",
    "declared": 5,
    "ceiling": 6,
    "present": 5,
    "buckets": {"ready": 3, "booting": 2},
    "converged": False,
    "openings": [
        {
            "name": "the window 'workshop'",
            "size": 20,
            "grows_at": "2026-11-02T08:45:00Z",
            "from_at": "2026-11-02T09:00:00Z",
            "to_at": "2026-11-02T17:00:00Z",
            "is_open": False,
        }
    ],
    "conditions": [
        {
            "type": "Converged",
            "status": False,
            "reason": "Booting",
            "message": "2 boot",
            "since": "2026-11-01T09:00:00Z",
        },
        {
            "type": "Stalled",
            "status": True,
            "reason": "Failures",
            "message": "3 in a row",
            "since": "2026-11-01T09:00:00Z",
        },
    ],
    "held": [{"pool": "client", "what": "create 1", "reason": "the pool is at its ceiling"}],
    "next_at": None,
}
EVENT = {
    "id": 7,
    "at": "2026-11-01T09:00:00Z",
    "actor": "controller",
    "subject": "vm/lablink-client-dev-1",
    "reason": "Created",
    "message": "[red]new[/red]",
    "detail": {},
}
STATUS = {"version": 3, "conditions": [], "pools": [POOL], "events": [EVENT]}
VMS = [{"hostname": "lablink-client-dev-1", "pool": "client", "bucket": "ready", "seat": "free", "zone": None}]


def rendered(status: dict[str, Any]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render_status(status))
    return console.export_text()


def test_status_without_a_terminal_is_plain_lines() -> None:
    with answering({"GET /api/v1/status": Answer(200, STATUS)}):
        done = run_cli("status")
    assert done.out.splitlines() == [
        "desired state: version 3",
        "pool client: 5 declared, 3 ready, 2 booting (converging)",
        "client: next: the window 'workshop': 20 from 2026-11-02 09:00:00 to 2026-11-02 17:00:00",
        "client: Stalled: 3 in a row",
        "  → Read the newest run (`lablink runs`), remove its cause, then `lablink retry client`. "
        "An edit of the pool is a new try, too.",
        "client: waits to create 1: the pool is at its ceiling",
    ]


def test_status_as_json_is_the_servers_document() -> None:
    with answering({"GET /api/v1/status": Answer(200, STATUS)}):
        assert json.loads(run_cli("status", "--json").out) == STATUS


def test_only_news_are_said_again() -> None:
    later = {**STATUS, "pools": [{**POOL, "buckets": {"ready": 5}}], "events": [EVENT, {**EVENT, "id": 8}]}
    lines = news_lines(later, STATUS)
    assert lines[0] == "pool client: 5 declared, 5 ready (converging)"
    assert len(lines) == 2
    assert news_lines(STATUS, STATUS) == []


def test_status_renders_for_a_terminal_without_reading_messages_as_markup() -> None:
    text = rendered(STATUS)
    assert "●●●◐◐" in text
    assert "[red]new[/red]" in text


def test_a_large_pool_keeps_every_bucket_in_its_bar() -> None:
    pool = {**POOL, "buckets": {"ready": 996, "failed": 1, "booting": 3}}
    text = rendered({**STATUS, "pools": [pool]})
    assert "✗" in text
    assert "◐" in text


def test_a_status_without_pools_says_so() -> None:
    assert status_lines({"version": 0, "conditions": [], "pools": [], "events": []}) == ["desired state: version 0"]


def test_vms_are_read_to_the_last_page() -> None:
    with answering({"GET /api/v1/vms": Answer(200, {"items": VMS, "next": None})}) as calls:
        done = run_cli("vms", "--pool", "client")
    assert done.out.split()[:4] == ["hostname", "pool", "bucket", "status"]
    assert done.out.splitlines()[1].startswith("lablink-client-dev-1")
    assert "pool=client" in calls[0].path


def test_events_are_lines_with_who_and_why() -> None:
    with answering({"GET /api/v1/events": Answer(200, {"items": [EVENT], "next": None})}):
        done = run_cli("events")
    assert "vm/lablink-client-dev-1  Created: [red]new[/red]" in done.out


def test_why_says_the_bucket_the_reason_and_what_comes_next() -> None:
    action = {"kind": "end", "pool": "client", "hostname": "lablink-client-dev-1", "reason": "4 declared"}
    vm = {**VMS[0], "reason": "waits for a user", "actions": [action], "held": [], "events": [EVENT]}
    with answering({"GET /api/v1/why/lablink-client-dev-1": Answer(200, vm)}):
        lines = run_cli("why", "lablink-client-dev-1").out.splitlines()
    assert lines[0] == "lablink-client-dev-1 is ready: waits for a user"
    assert "next: end, because 4 declared" in lines
    assert "Created" in lines[-1]


def test_why_of_a_pool_names_what_is_in_its_way() -> None:
    with answering({"GET /api/v1/why/client": Answer(200, {**POOL, "actions": [], "events": []})}):
        lines = run_cli("why", "client").out.splitlines()
    assert lines[0].startswith("pool client: 5 declared")
    assert "client: waits to create 1: the pool is at its ceiling" in lines


def test_scale_says_the_new_version() -> None:
    with answering({"PATCH /api/v1/pools/client": Answer(200, {"version": 9})}) as calls:
        done = run_cli("scale", "client", "8")
    assert done.out == "Pool client is declared with 8 VMs (version 9).\n"
    assert json.loads(calls[0].body) == {"size": 8}


def test_rollback_names_the_old_version_and_the_new_one() -> None:
    with answering({"POST /api/v1/desired/rollback/2": Answer(200, {"version": 5})}):
        assert run_cli("rollback", "2").out == "The document of version 2 is in force again (version 5).\n"


def test_history_lists_versions() -> None:
    items = [{"version": 2, "at": "2026-11-01T09:00:00Z", "author": "ada", "source": "file"}]
    with answering({"GET /api/v1/desired/versions": Answer(200, {"items": items, "next": None})}):
        done = run_cli("history")
    assert done.out.splitlines()[1].split()[0] == "2"
    assert "ada" in done.out


def test_diff_compares_two_versions() -> None:
    answers = {
        f"GET /api/v1/desired/versions/{n}": Answer(200, {"version": n, "yaml": f"pools: {{a: {{size: {n}}}}}\n"})
        for n in (1, 2)
    }
    with answering(answers):
        done = run_cli("diff", "1", "2")
    assert done.out.startswith("--- version 1\n+++ version 2\n")
    assert "+pools: {a: {size: 2}}" in done.out


def test_preview_without_a_file_asks_about_what_is_in_force() -> None:
    decision = {"actions": [], "held": [], "pools": {}, "rendered": "version 3 at 09:00\n"}
    with answering({"POST /api/v1/preview": Answer(200, decision)}) as calls:
        done = run_cli("preview")
    assert (done.status, done.out, calls[0].body) == (0, "version 3 at 09:00\n", "")


def test_validate_names_line_field_and_the_nearest_right_name(tmp_path: Path) -> None:
    file = tmp_path / "lablink.yaml"
    file.write_text("pools:\n  client:\n    sise: 5\n")
    done = run_cli("validate", str(file))
    assert (done.status, done.out) == (1, "")
    assert f"{file}:3:5" in done.err
    assert 'did you mean "size"?' in done.err


def test_validate_takes_a_good_document_from_standard_input() -> None:
    done = run_cli("validate", "-", stdin="pools: {client: {size: 5}}\n")
    assert (done.status, done.out) == (0, "- is valid (pools: client).\n")


def test_validate_of_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    done = run_cli("validate", str(tmp_path / "none.yaml"))
    assert done.status == 1
    assert done.err.startswith("There is no file")


def test_schema_is_json_schema() -> None:
    assert json.loads(run_cli("schema").out)["properties"]["pools"]


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


def test_a_condition_that_does_not_hold_is_shown_as_such() -> None:
    invalid = {"type": "DesiredValid", "status": False, "message": "lablink.yaml:11: size", "reason": "Invalid"}
    unseen = {"type": "Observed", "status": False, "message": "the listing failed", "reason": "ListingFailed"}
    pool = {**POOL, "conditions": [unseen], "held": []}
    lines = status_lines({**STATUS, "conditions": [invalid], "pools": [pool]})
    assert lines[-3:] == [
        "not DesiredValid: lablink.yaml:11: size",
        "  → The message names line and field. `lablink validate lablink.yaml` checks before you save.",
        "client: not Observed: the listing failed",  # passes by itself
    ]


@pytest.mark.parametrize(("in_use", "words"), [(True, "seat free, in use"), (False, "seat free, not in use")])
def test_why_says_in_words_whether_a_vm_is_in_use(in_use: bool, words: str) -> None:
    vm: dict[str, Any] = {**VMS[0], "in_use": in_use, "reason": "waits", "actions": [], "held": [], "events": []}
    with answering({"GET /api/v1/why/lablink-client-dev-1": Answer(200, vm)}):
        assert run_cli("why", "lablink-client-dev-1").out.splitlines()[1] == words


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


def test_approving_says_what_the_server_says() -> None:
    with answering({"POST /api/v1/desired/approve/4": Answer(200, {"message": "version 4 is approved"})}):
        assert run_cli("approve", "4").out == "Version 4 is approved.\n"


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


def test_scale_to_bounds_sends_only_what_was_said() -> None:
    with answering({"PATCH /api/v1/pools/client": Answer(200, {"version": 4})}) as calls:
        done = run_cli("scale", "client", "--max", "20", "--spare", "2")
        assert (done.status, done.out) == (0, "Pool client is declared with max 20, spare 2 (version 4).\n")
        assert json.loads(calls[0].body) == {"max": 20, "spare": 2}
        assert run_cli("scale", "client").status == 2
        assert run_cli("scale", "client", "5", "--max", "20").status == 2


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
