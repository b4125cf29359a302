"""What an allocator costs while nothing happens: the memory of API and controller, and how soon `lablink up` has five ready VMs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from bench.allocator import running_api
from bench.figure import Figure, figure_of
from bench.waiting_vms import read_memory_kb
from sandbox import postgres
from store.migrate import migrate
from tests.system.lab import ROOT, open_lab

MEMORY_MB = 220
LOOKS, PAUSE_S = 5, 2.0
VMS = 5
FIRST_S, AGAIN_S, PATIENCE_S = 60, 15, 180.0
AGAIN = 3


def measure_rest() -> list[Figure]:
    """Proportional set sizes, so what both share is counted once."""
    with TemporaryDirectory(prefix="lablink-bench-") as name, postgres.start(Path(name) / "pg") as server:
        anyio.run(migrate, server.dsn)
        (folder := Path(name) / "lab").mkdir()
        with open_lab(server.dsn, folder) as lab:
            lab.declare(0)
            keys = {name: lab.environment[name] for name in ("LABLINK_DEPLOYMENT_SECRET", "LABLINK_ENCRYPTION_KEY")}
            controller = lab.start_controller()
            lab.wait("the base", lambda: lab.rows("SELECT FROM base WHERE applied_hash IS NOT NULL"))
            with running_api(server.dsn, [], keys) as allocator:
                looks = [_read_mb(allocator.pid, controller.pid) for _ in range(LOOKS)]
    totals = [api + rest for api, rest in looks]
    note = f"API {looks[-1][0]:,.0f}, controller {looks[-1][1]:,.0f}; after a first Terraform run, none at work"
    return [figure_of("memory at rest, API and controller", totals, MEMORY_MB, "MB", note=note)]


def _read_mb(*pids: int) -> tuple[float, ...]:
    time.sleep(PAUSE_S)
    return tuple(read_memory_kb(pid) / 1024 for pid in pids)


def measure_up() -> list[Figure]:
    """From the command to five VMs that wait for people, in a folder without data, and again in the same."""
    with TemporaryDirectory(prefix="lablink-bench-") as name:
        folder = Path(name)
        (folder / "lablink.yaml").write_text(f"region: us-west-2\npools:\n  client:\n    size: {VMS}\n")
        first, *again = [_time_up(folder) for _ in range(1 + AGAIN)]
    return [
        Figure(f"`make up` to {VMS} ready VMs, first", first, FIRST_S, "s"),
        figure_of(f"`make up` to {VMS} ready VMs, again", again, AGAIN_S, "s", note="the VMs are those of before"),
    ]


def _time_up(folder: Path) -> float:
    begun = time.monotonic()
    with _running_up(folder) as (process, told):
        _wait(process, told.exists)
        url = json.loads(told.read_text())["url"]
        _wait(process, lambda: _count_free(url) == VMS)
        return time.monotonic() - begun


@contextmanager
def _running_up(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The process, and the file in which it says where it listens."""
    data = folder / "data"
    (told := data / "sandbox.json").unlink(missing_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LABLINK_", "AWS_", "TF_"))}
    command = [sys.executable, "-m", "lablink", "up", "--data", str(data), "--file", str(folder / "lablink.yaml")]
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--port", "0", "--no-ui-browser"],
            cwd=ROOT,
            env=kept,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process, told
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def _count_free(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/api/unassigned_vms_count") as answer:
            return int(json.load(answer)["count"])
    except (urllib.error.URLError, OSError):
        return -1


def _wait(process: subprocess.Popen[bytes], holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("`lablink up` did not come so far")
        time.sleep(0.1)
