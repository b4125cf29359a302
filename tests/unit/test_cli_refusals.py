"""The command line where the server is away or refuses: one sentence on standard error, exit status 1, no traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli import Answer, answering, run_cli

LAB = "pools: {client: {size: 5}}\n"
DESIRED = Answer(200, {"version": 3, "at": "2026-11-01T09:00:00Z", "author": "ada", "source": "api", "yaml": LAB})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sandbox of the person who runs the tests is found."""
    monkeypatch.chdir(tmp_path)
    for name in ("LABLINK_URL", "LABLINK_USER", "LABLINK_PASSWORD", "LABLINK_TOKEN", "LABLINK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_without_a_sandbox_the_sentence_says_how_to_start_one() -> None:
    done = run_cli("status")
    assert done.status == 1
    assert "lablink up" in done.err
    assert "LABLINK_URL" in done.err
    assert "Traceback" not in done.err


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("LABLINK_URL", f"http://127.0.0.1:{port}")
    done = run_cli("vms", "--json")
    assert (done.status, done.out) == (1, "")
    assert f"No LabLink answers at http://127.0.0.1:{port}" in done.err


def test_a_sandbox_that_was_killed_is_to_be_started_again(tmp_path: Path) -> None:
    (tmp_path / ".lablink").mkdir()
    address = {"url": "http://127.0.0.1:1", "admin_user": "admin", "admin_password": "x"}
    (tmp_path / ".lablink/sandbox.json").write_text(json.dumps(address))
    done = run_cli("status")
    assert done.status == 1
    assert "start it again with `lablink up`" in done.err


def test_an_address_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABLINK_URL", "nonsense:::")
    done = run_cli("status")
    assert done.status == 1
    assert "nonsense" in done.err


def test_a_wrong_password_says_which_variables_to_set() -> None:
    with answering({"GET /api/v1/status": Answer(401, {"error": "log in"})}):
        done = run_cli("status")
    assert done.status == 1
    assert "LABLINK_PASSWORD" in done.err


def test_the_servers_own_sentence_is_shown() -> None:
    with answering({"GET /api/v1/why/nobody": Answer(404, {"error": "there is neither a VM nor a pool 'nobody'"})}):
        done = run_cli("why", "nobody")
    assert (done.status, done.out) == (1, "")
    assert done.err == "There is neither a VM nor a pool 'nobody'.\n"


def test_an_answer_that_is_not_json_is_not_taken_for_lablink() -> None:
    with answering({"GET /api/v1/status": Answer(200, "<html>")}):
        done = run_cli("status")
    assert done.status == 1
    assert "is it LabLink?" in done.err


def test_a_failing_server_without_a_sentence_is_still_one_line() -> None:
    with answering({"GET /api/v1/status": Answer(502, "bad gateway")}):
        done = run_cli("status")
    assert done.status == 1
    assert "502" in done.err
    assert done.err.count("\n") == 1


def test_problems_of_a_document_are_shown_one_a_line() -> None:
    problems = ["lablink.yaml:1:9: pools: a", "lablink.yaml:2:9: pools: b"]
    refused = Answer(400, {"error": "the document is not valid", "problems": problems})
    with answering({"PATCH /api/v1/pools/client": refused}):
        done = run_cli("scale", "client", "7")
    assert done.status == 1
    assert done.err.splitlines()[1:] == problems


def test_apply_refuses_when_another_version_came_in_between(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("pools: {client: {size: 6}}\n")
    refused = Answer(409, {"error": "version 4 came in between, from ada"})
    with answering({"GET /api/v1/desired": DESIRED, "PUT /api/v1/desired": refused}) as calls:
        done = run_cli("apply", "lab.yaml")
    assert done.status == 1
    assert done.err == "Version 4 came in between, from ada.\n"
    assert calls[-1].headers["if-match"] == "3"


def test_apply_names_the_version_it_saw_and_shows_the_difference(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("pools: {client: {size: 6}}\n")
    with answering({"GET /api/v1/desired": DESIRED, "PUT /api/v1/desired": Answer(200, {"version": 4})}) as calls:
        done = run_cli("apply", "lab.yaml")
    assert done.status == 0
    assert "-pools: {client: {size: 5}}" in done.out
    assert "+pools: {client: {size: 6}}" in done.out
    assert "(version 4)" in done.out
    assert calls[-1].body == "pools: {client: {size: 6}}\n"


def test_apply_of_what_is_in_force_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    with answering({"GET /api/v1/desired": DESIRED}) as calls:
        done = run_cli("apply", "lab.yaml")
    assert (done.status, done.out) == (0, "Nothing to change (version 3).\n")
    assert [call.method for call in calls] == ["GET"]


def test_apply_of_an_invalid_file_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("pools: {client: {sise: 5}}\n")
    with answering({}) as calls:
        done = run_cli("apply", "lab.yaml")
    assert done.status == 1
    assert 'did you mean "size"?' in done.err
    assert calls == []


def test_a_strange_pool_name_stays_one_part_of_the_path() -> None:
    with answering({"PATCH /api/v1/pools/a%2F..%2F%3Fb": Answer(404, {"error": "there is no such pool"})}) as calls:
        done = run_cli("pause", "a/../?b")
    assert done.status == 1
    assert json.loads(calls[0].body) == {"paused": True}


def test_no_password_ever_stands_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABLINK_PASSWORD", "open-sesame-1")
    with answering({"GET /api/v1/status": Answer(500, {"error": "broken"})}, password="open-sesame-1"):
        done = run_cli("status")
    assert done.status == 1
    assert "open-sesame-1" not in done.out + done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing-like-this",),
        ("scale", "client"),
        ("scale", "client", "many"),
        ("scale", "client", "1001"),
        ("rollback", "0"),
        ("status", "--colour"),
        ("up", "--boot-seconds", "soon"),
        ("up", "--port", "65536"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: tuple[str, ...]) -> None:
    done = run_cli(*arguments)
    assert done.status == 2
    assert "Error:" in done.err


def test_a_negative_size_is_wrong_usage() -> None:
    assert run_cli("scale", "client", "--", "-1").status == 2


def test_a_sandbox_that_lives_starts_its_api_again_by_itself(tmp_path: Path) -> None:
    (tmp_path / ".lablink").mkdir()
    address = {
        "url": "http://127.0.0.1:1",
        "admin_user": "admin",
        "admin_password": "x",
        "pids": {"sandbox": os.getpid()},
    }
    (tmp_path / ".lablink/sandbox.json").write_text(json.dumps(address))
    done = run_cli("status")
    assert done.status == 1
    assert "try again in some seconds" in done.err
    assert "lablink up" not in done.err


def test_vms_of_a_pool_that_does_not_exist_are_refused() -> None:
    answers = {
        "GET /api/v1/vms": Answer(200, {"items": [], "next": None}),
        "GET /api/v1/pools/nope": Answer(404, {"error": "there is no pool 'nope'"}),
    }
    with answering(answers):
        done = run_cli("vms", "--pool", "nope")
    assert (done.status, done.out, done.err) == (1, "", "There is no pool 'nope'.\n")


def test_a_pool_without_vms_says_so() -> None:
    answers = {
        "GET /api/v1/vms": Answer(200, {"items": [], "next": None}),
        "GET /api/v1/pools/spare": Answer(200, {"name": "spare"}),
    }
    with answering(answers):
        done = run_cli("vms", "--pool", "spare")
    assert (done.status, done.out) == (0, "Pool spare has no VM.\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("count", [1, 2000])
def test_a_full_disk_is_one_sentence(count: int, unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    items = [{"hostname": f"lablink-client-dev-{n}", "pool": "client", "bucket": "ready"} for n in range(count)]
    with (
        answering({"GET /api/v1/vms": Answer(200, {"items": items, "next": None})}),
        Path("/dev/full").open("w") as full,
    ):
        done = subprocess.run(_vms_command(), stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=_env())
    assert done.returncode == 1
    assert done.stderr.startswith("Not all could be written (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_a_reader_who_leaves_hears_nothing() -> None:
    with answering({"GET /api/v1/vms": Answer(200, {"items": [], "next": None})}):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(_vms_command(), stdout=writing, stderr=subprocess.PIPE, check=False, env=_env())
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_watching_outlives_a_server_that_is_away_for_a_moment() -> None:
    status = {"version": 3, "conditions": [], "pools": [], "events": []}
    answers = {"GET /api/v1/status": Answer(200, status)}
    with answering(answers):
        # A shell starts what it runs in the background with SIGINT ignored, and that is inherited.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "lablink", "status", "--watch"]
        watching = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_env(), start_new_session=True
        )
        try:
            assert watching.stdout
            assert watching.stderr
            assert watching.stdout.readline() == "desired state: version 3\n"
            answers["GET /api/v1/status"] = Answer(502, "bad gateway")
            trouble = watching.stderr.readline()
            answers["GET /api/v1/status"] = Answer(200, {**status, "version": 4})
            assert watching.stdout.readline() == "desired state: version 4\n"
            watching.send_signal(signal.SIGINT)
            assert watching.wait() == 130
        finally:
            watching.kill()
            watching.communicate()
    assert trouble.startswith("no answer (")
    assert trouble.endswith("), trying again\n")


def _vms_command() -> list[str]:
    return [sys.executable, "-m", "lablink", "vms"]


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
