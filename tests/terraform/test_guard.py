"""The guard ends what it started in every way in which its controller can be gone, and lets it save its state first."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from controller import guard

# Prints, waits, and on SIGINT says that it saved its state.
POLITE = ["sh", "-c", 'trap "echo saved; exit 0" INT; echo started; while :; do sleep 0.05; done']
STUBBORN = ["sh", "-c", 'trap "" INT; sleep 600 & echo $$ $!; wait']
HOUR_S = 3600.0

Guarded = subprocess.Popen[bytes]


class Starter:
    """Starts guards and ends those that a failed test left."""

    def __init__(self) -> None:
        self.started: list[Guarded] = []

    def __call__(
        self, *command: str, until_s: float = HOUR_S, limit_s: float = HOUR_S, grace_s: float = 10.0
    ) -> Guarded:
        words = (str(time.monotonic() + until_s), str(limit_s), str(grace_s), *command)
        pipe = subprocess.PIPE
        arguments = [sys.executable, "-I", "-S", guard.__file__, *words]
        process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                stream.close()


@pytest.fixture
def start() -> Iterator[Starter]:
    starter = Starter()
    yield starter
    starter.end()


def read_line(process: Guarded) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def read_all(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.read()


def tell(process: Guarded, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode())
    process.stdin.flush()


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_output_and_exit_code_pass_through(start: Starter) -> None:
    process = start("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (read_all(process.stdout), read_all(process.stderr)) == (b"out\n", b"err\n")
    assert process.wait(timeout=30) == 3


def test_a_controller_that_is_gone_ends_terraform_politely(start: Starter) -> None:
    process = start(*POLITE)
    assert read_line(process) == b"started\n"
    assert process.stdin is not None
    process.stdin.close()
    assert read_line(process) == b"saved\n"
    assert process.wait(timeout=30) == guard.INTERRUPTED


def test_a_run_that_nobody_extends_ends(start: Starter) -> None:
    process = start(*POLITE, until_s=0.5)
    assert read_line(process) == b"started\n"
    assert read_line(process) == b"saved\n"
    assert process.wait(timeout=30) == guard.INTERRUPTED


def test_a_run_that_is_extended_goes_on(start: Starter) -> None:
    process = start(*POLITE, until_s=0.6)
    assert read_line(process) == b"started\n"
    tell(process, f"{time.monotonic() + HOUR_S}\n")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.2)
    tell(process, "stop\n")
    assert read_line(process) == b"saved\n"
    assert process.wait(timeout=30) == guard.INTERRUPTED


def test_what_runs_too_long_is_ended_with_a_code_of_its_own(start: Starter) -> None:
    process = start(*POLITE, limit_s=0.5)
    assert read_line(process) == b"started\n"
    assert process.wait(timeout=30) == guard.OUT_OF_TIME


def test_what_does_not_heed_is_killed_with_its_children(start: Starter) -> None:
    process = start(*STUBBORN, grace_s=0.3)
    pids = [int(word) for word in read_line(process).split()]
    tell(process, "stop\n")
    assert process.wait(timeout=30) == guard.INTERRUPTED
    assert all(is_gone(pid) for pid in pids)


def test_a_killed_guard_takes_terraform_with_it(start: Starter) -> None:
    process = start("sh", "-c", "echo $$; exec sleep 600")
    pid = int(read_line(process))
    process.kill()
    process.wait()
    assert is_gone(pid)


def test_a_killed_terraform_is_told_apart(start: Starter) -> None:
    process = start("sh", "-c", "echo $$; exec sleep 600")
    os.kill(int(read_line(process)), signal.SIGKILL)
    assert process.wait(timeout=30) == 128 + signal.SIGKILL


def test_a_signal_to_the_guard_stops_terraform_politely(start: Starter) -> None:
    process = start(*POLITE)
    assert read_line(process) == b"started\n"
    process.terminate()
    assert read_line(process) == b"saved\n"
    assert process.wait(timeout=30) == guard.INTERRUPTED


def test_terraform_can_write_on_when_nobody_reads_any_more(start: Starter, tmp_path: Path) -> None:
    """A pipe without reader would end it by SIGPIPE with its state unsaved; a full one would block it for ever."""
    saved = tmp_path / "saved"
    text = f'trap "" INT; echo started; yes word | head -c 1000000; touch {saved}'
    process = start("sh", "-c", text, grace_s=20)
    assert read_line(process) == b"started\n"
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=30) == guard.INTERRUPTED
    assert saved.exists()


def test_a_stopped_controller_does_not_stop_the_clock(start: Starter, tmp_path: Path) -> None:
    """It reads nothing and extends nothing, though its pipes are open: the time runs out all the same."""
    saved = tmp_path / "saved"
    text = f'trap "touch {saved}; exit 0" INT; echo started; yes word | head -c 1000000; while :; do sleep 0.05; done'
    process = start("sh", "-c", text, until_s=1.0, grace_s=1.0)
    assert process.wait(timeout=30) == guard.INTERRUPTED
    assert saved.exists()


def test_a_missing_binary_is_said(start: Starter) -> None:
    process = start("/nowhere/terraform", "version")
    assert process.wait(timeout=30) == guard.NOT_STARTED
    assert read_all(process.stderr) == b"/nowhere/terraform could not be started: No such file or directory\n"
