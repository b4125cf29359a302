"""The whole program, asked to stop at a bad moment."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.controller_world import KEY

PATIENCE_S = 30.0
"""One call to a silent AWS is given up after four times as long."""


@pytest.fixture
def silent_cloud() -> Iterator[tuple[str, threading.Event]]:
    """An address that takes every call and never answers; the event tells that one has come."""
    called, calls = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take_calls() -> None:
            while True:
                try:
                    calls.append(listener.accept()[0])
                except OSError:  # the test is over
                    return
                called.set()

        threading.Thread(target=take_calls, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", called
        listener.shutdown(socket.SHUT_RDWR)
    for call in calls:
        call.close()


def test_a_stop_does_not_wait_for_a_cloud_that_never_answers(
    dsn: str, tmp_path: Path, silent_cloud: tuple[str, threading.Event]
) -> None:
    url, called = silent_cloud
    desired = tmp_path / "lablink.yaml"
    desired.write_text("pools:\n  client:\n    size: 1\n")
    os.utime(desired, (time.time() - 10, time.time() - 10))
    environment = os.environ | {
        "LABLINK_DATABASE_DSN": dsn,
        "LABLINK_DESIRED_FILE": str(desired),
        "LABLINK_WORK_DIR": str(tmp_path / "work"),
        "LABLINK_DEPLOYMENT_SECRET": "secret",
        "LABLINK_ENCRYPTION_KEY": KEY,
        "LABLINK_TERRAFORM_GRACE_S": "1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    process = subprocess.Popen([sys.executable, "-m", "controller"], env=environment)
    try:
        assert called.wait(PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def test_a_database_of_an_earlier_release_is_refused_with_what_to_do(dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM schema_migration WHERE name = '0141_lease_token.sql'")
    environment = os.environ | {
        "LABLINK_DATABASE_DSN": dsn,
        "LABLINK_WORK_DIR": str(tmp_path / "work"),
        "LABLINK_DEPLOYMENT_SECRET": "secret",
        "LABLINK_ENCRYPTION_KEY": KEY,
    }
    command = [sys.executable, "-m", "controller"]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1
    said = "controller: the database is of an earlier release, it lacks 0141_lease_token.sql; `lablink migrate` adds them\n"
    assert ended.stderr.endswith(said)
