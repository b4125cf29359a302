"""What makes the command line pleasant: tables that fit, colours on terminals alone, what was meant, waiting, a file with the server."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lablink.fleet import VM_COLUMNS, VM_SPARE
from lablink.output import make_table
from lablink.records import RUN_COLUMNS, RUN_SPARE
from lablink.watching import TableView
from tests.unit.cli import Answer, answering, run_cli

VM = {
    "hostname": "lablink-client-dev-1",
    "pool": "client",
    "bucket": "ready",
    "status": "running",
    "seat": "free",
    "instance_type": "g4dn.xlarge",
    "zone": "us-west-2a",
    "instance_id": "i-43" * 5,
    "reason": "waits for a user, and has done so for a long time by now",
}
RUN = {
    "id": 12, "at": "2026-12-01 09:00:00", "state": "client/us-west-2/1", "outcome": "failed", "creates": 5, "imports": 0,
    "deletes": 0, "message": "AWS refused g4dn.xlarge in us-west-2a, in us-west-2b and in us-west-2c",
}  # fmt: skip
VMS = {"GET /api/v1/vms": Answer(200, {"items": [VM], "next": None})}


def draw(columns: tuple[str, ...], row: dict[str, Any], spare: tuple[str, ...], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        console.print(make_table(columns, [[row[name] for name in columns]], spare))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("columns", "row", "spare"), [(VM_COLUMNS, VM, VM_SPARE), (RUN_COLUMNS, RUN, RUN_SPARE)])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_names_stay_whole_in_a_narrow_terminal(
    columns: tuple[str, ...], row: dict[str, Any], spare: tuple[str, ...], width: int
) -> None:
    lines = draw(columns, row, spare, width)
    name = str(row[columns[0]] if columns is VM_COLUMNS else row["state"])
    assert name in lines[1]
    assert max(map(len, lines)) <= width
    words = " ".join(line[lines[0].index(columns[-1]) :].strip() for line in lines[1:])
    assert " ".join(words.split()) == row[columns[-1]]


def test_a_wide_terminal_shows_every_column() -> None:
    heads = draw(VM_COLUMNS, VM, VM_SPARE, 200)[0].split()
    assert heads == list(VM_COLUMNS)
    narrow = draw(VM_COLUMNS, VM, VM_SPARE, 80)[0].split()
    assert "instance_id" not in narrow
    assert {"hostname", "bucket", "reason"} <= set(narrow)


def test_what_cannot_fit_is_folded_and_nothing_of_it_lost() -> None:
    names = ("first", "second", "third")
    words = dict(zip(names, ("a" * 20, "b" * 20, "c" * 20), strict=True))
    shown = "".join(draw(names, words, (), 30))
    assert [shown.count(letter) for letter in "abc"] == [20, 20, 20 + 1]  # a c in "second"


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a person sees of `lablink WORDS`, who has a terminal of 80 columns."""
    here, there = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "COLUMNS": "80", **environment}
    done = subprocess.Popen([sys.executable, "-m", "lablink", *words], stdout=there, stderr=there, stdin=there, env=env)
    os.close(there)
    shown = b""
    try:
        while chunk := os.read(here, 65536):
            shown += chunk
    except OSError:  # of Linux, when nobody has the other end any more
        pass
    os.close(here)
    assert done.wait() == 0
    return shown.decode()


def test_colours_are_for_terminals_and_for_who_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    change = {"PATCH /api/v1/pools/client": Answer(200, {"version": 2})}
    with answering(VMS | change):
        assert "\x1b[32m" in on_a_terminal("pause", "client")
        plain = on_a_terminal("pause", "client", NO_COLOR="1")
        assert "Pool client is paused (version 2)." in plain
        assert "\x1b[3" not in plain
        assert "\x1b" not in run_cli("vms").out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("statuz",), "'status'"),
        (("vms", "--pol", "client"), "--pool"),
        (("tokens", "create", "x", "--scope", "raed"), "Did you mean 'read'?"),
        (("runs", "--status", "faild"), "Did you mean 'failed'?"),
        (("infra", "appli"), "Did you mean 'apply'?"),
    ],
)
def test_a_slip_is_answered_with_what_was_probably_meant(words: tuple[str, ...], meant: str) -> None:
    done = run_cli(*words)
    assert (done.status, done.out) == (2, "")
    assert meant in done.err
    assert "Value error" not in done.err


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("runs", "--pool", "clint"), "GET /api/v1/runs"),
        (("vms", "--pool", "clint"), "GET /api/v1/vms"),
        (("capacity", "--pool", "clint"), "GET /api/v1/capacity"),
        (("events", "--subject", "pool/clint"), "GET /api/v1/events"),
    ],
)
def test_nothing_of_a_pool_that_is_not_there_is_no_answer(words: tuple[str, ...], path: str) -> None:
    refusal = Answer(404, {"error": "there is no pool 'clint'; did you mean 'client'?"})
    empty = Answer(200, {"items": [], "next": None})
    with answering({path: empty, "GET /api/v1/capacity/week": empty, "GET /api/v1/pools/clint": refusal}):
        done = run_cli(*words)
    assert (done.status, done.err) == (1, "There is no pool 'clint'; did you mean 'client'?\n")


def lab(converged: bool) -> Answer:
    pool = {"name": "client", "declared": 2, "buckets": {"ready": 1}, "converged": converged, "conditions": []}
    more = {"openings": [], "held": [], "warned": [], "size": 2, "paused": False}
    return Answer(200, {"release": "1", "version": 3, "conditions": [], "pools": [{**pool, **more}], "events": []})


def test_waiting_ends_when_pools_are_as_declared_or_the_time_is_over() -> None:
    with answering({"GET /api/v1/status": lab(True)}):
        assert run_cli("wait", "client").status == 0
        unknown = run_cli("wait", "clint")
        assert (unknown.status, unknown.err) == (1, "There is no pool 'clint'; did you mean 'client'?\n")
    with answering({"GET /api/v1/status": lab(False)}):
        late = run_cli("wait", "--within", "1s")
    assert late.status == 1
    assert late.err.startswith("Not as declared within 1s.\npool client: 2 declared, 1 ready")


def test_a_watched_table_says_rows_once() -> None:
    view = TableView(dict, ("a", "b"), lambda found: found)
    before = [["x", "1"], ["y", "1"]]
    assert view.news(before, None) == ["a  b", "x  1", "y  1"]
    assert view.news([["x", "1"], ["y", "2"]], before) == ["y  2"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody whose configuration alone says where the server is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("URL", "USER", "PASSWORD", "TOKEN", "DATA", "CONFIG"):
        monkeypatch.delenv(f"LABLINK_{name}", raising=False)
    file = tmp_path / "lablink/config.toml"
    file.parent.mkdir()
    file.touch(0o600)
    return file


def test_the_server_may_stand_in_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(VMS, password="of the file") as calls:
        url = os.environ["LABLINK_URL"]
        monkeypatch.delenv("LABLINK_URL")
        monkeypatch.delenv("LABLINK_PASSWORD")
        home.write_text(f'url = "{url}/"\nuser = "admin"\npassword = "of the file"\n')
        assert run_cli("vms").status == 0
        home.write_text(f'url = "{url}"\ntoken_file = "token"\n')
        home.with_name("token").touch(0o600)
        home.with_name("token").write_text("abc\n")
        run_cli("vms")
        assert calls[-1].headers["authorization"] == "Bearer abc"
        monkeypatch.setenv("LABLINK_PASSWORD", "of the file")  # who says a password means it
        assert run_cli("vms").status == 0


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ('url = "http://x"\npasword = "y"\n', 0o600, "did you mean 'password'?"),
        ('user = "admin"\n', 0o600, "url is missing"),
        ('url = "http://x"\ntoken = "secret-token"\n', 0o644, "can be read by others"),
        ('url = "http://x"\ntoken_file = "nowhere"\n', 0o600, "token_file"),
        ("url = 5\n", 0o600, "must be text"),
        ("url\n", 0o600, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_shows_no_secret(
    home: Path, text: str, mode: int, sentence: str
) -> None:
    home.write_text(text)
    home.chmod(mode)
    done = run_cli("vms")
    assert done.status == 1
    assert sentence in done.err
    assert "secret-token" not in done.err
