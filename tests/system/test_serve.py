"""`lablink serve`: one command that migrates, runs API and controller, keeps them running, and ends them in order."""

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from lablink.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def environment(tmp_path: Path, dsn: str, port: int) -> dict[str, str]:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "deployment_secret").write_text("0" * 64)
    (keys / "encryption_key").write_text(base64.b64encode(bytes(32)).decode())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABLINK_", "AWS_", "TF_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "LABLINK_KEYS": str(keys),
        "LABLINK_DATABASE_DSN": dsn,
        "LABLINK_PORT": str(port),
        "LABLINK_WORK_DIR": str(tmp_path / "work"),
        "LABLINK_MODULES_DIR": str(ROOT / "terraform"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-west-2",
    }


@contextmanager
def serving(env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "lablink", "serve"], env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def eventually(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.1)


def answers(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False).json()["checks"]["database"])
    except httpx.HTTPError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_serve_runs_both_programs_and_ends_both(tmp_path: Path, dsn: str) -> None:
    port = free_port("127.0.0.1")
    with serving(environment(tmp_path, dsn, port), tmp_path) as process:
        eventually(lambda: answers(port))
        eventually(lambda: len(children(process.pid)) == 2)
        programs = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert not any(map(is_alive, programs))
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM schema_migration").fetchone() != (0,)


def test_programs_of_a_killed_serve_end_by_themselves(tmp_path: Path, dsn: str) -> None:
    port = free_port("127.0.0.1")
    with serving(environment(tmp_path, dsn, port), tmp_path) as process:
        eventually(lambda: answers(port) and len(children(process.pid)) == 2)
        programs = children(process.pid)
        process.kill()
        eventually(lambda: not any(map(is_alive, programs)))


def test_serve_without_a_database_is_one_sentence(tmp_path: Path) -> None:
    env = environment(tmp_path, "host=/nonexistent dbname=lablink", free_port("127.0.0.1"))
    done = subprocess.run(
        [sys.executable, "-m", "lablink", "serve"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "LABLINK_DATABASE_DSN" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_of_the_newest_schema_changes_nothing(tmp_path: Path, dsn: str) -> None:
    env = environment(tmp_path, dsn, 0)
    done = subprocess.run(
        [sys.executable, "-m", "lablink", "migrate"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "The database is up to date.\n")


def test_an_allocator_of_its_own_makes_keys_runs_postgresql_and_ends_in_order(tmp_path: Path) -> None:
    port, data = free_port("127.0.0.1"), tmp_path / "postgres"
    env = environment(tmp_path, "", port)
    env |= {"LABLINK_KEYS": str(tmp_path / "made"), "LABLINK_POSTGRES_DIR": str(data)}
    del env["LABLINK_DATABASE_DSN"]
    subprocess.run([sys.executable, "-m", "lablink", "keys"], env=env, check=True, timeout=60, capture_output=True)
    with serving(env, tmp_path) as process:
        eventually(lambda: answers(port))
        assert (data / "postmaster.pid").exists()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert not (data / "postmaster.pid").exists()
    shutil.rmtree(data.resolve())  # as root, it lies under /var/tmp
