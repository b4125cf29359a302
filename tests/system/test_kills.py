"""`kill -9` of Terraform and of the controller in mid-apply: nothing is created twice, nothing is left unseen.

Only kills that came when some but not all instances of an apply existed count; a round that missed is repeated. Each victim once and each
backend once by default, since `tests/nemesis` kills at every other moment; `LABLINK_TEST_KILLS=5` for twenty kills.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.lab import Lab, open_lab

SIZE = 16  # more than Terraform has in flight at once: those ten are made even when it dies
LAUNCH_S = 0.15  # moto takes one call at a time, so an apply lasts about SIZE times this
KILLS = int(os.environ.get("LABLINK_TEST_KILLS", "1"))  # of each victim with each backend
PAIRS = [("terraform", "local"), ("controller", "database"), ("terraform", "database"), ("controller", "local")]


@pytest.fixture
def lab(dsn: str, tmp_path: Path) -> Iterator[Lab]:
    with open_lab(dsn, tmp_path) as lab:
        yield lab


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("victim", "backend"), PAIRS if KILLS > 1 else PAIRS[:2])
def test_kill_in_mid_apply_ends_with_the_declared_number(lab: Lab, victim: str, backend: str) -> None:
    head = f"state: {{backend: {backend}}}\n"
    lab.declare(0, head=head)
    lab.start_controller()
    lab.wait("the first version", lambda: lab.rows("SELECT FROM base WHERE applied_hash IS NOT NULL"))
    kills = 0
    for _ in range(2 * KILLS):
        lab.fault({"latency": {"RunInstances": LAUNCH_S}})
        asked = lab.calls().get("RunInstances", 0)
        lab.declare(SIZE, head=head)
        made = kill_in_mid_apply(lab, victim)
        lab.end_faults()
        if victim == "controller":
            lab.start_controller()
        lab.wait_for_size(SIZE, within_s=120)
        assert lab.calls()["RunInstances"] - asked <= SIZE
        kills += 0 < made < SIZE
        lab.declare(0, head=head)
        lab.wait_for_size(0, within_s=120)
        if kills == KILLS:
            return
    raise AssertionError(f"only {kills} kills came in the middle of an apply")


def kill_in_mid_apply(lab: Lab, victim: str) -> int:
    """Kill once some instances exist; how many did exist when all was over."""
    lab.wait("some instances", lambda: len(lab.instances()) >= 2)
    pid = lab.controllers[-1].pid if victim == "controller" else find_terraform(lab)
    if pid:
        os.kill(pid, signal.SIGKILL)
    if victim == "controller":
        lab.controllers[-1].wait()
        lab.wait("its guard to end Terraform", lambda: find_terraform(lab) is None)
    time.sleep(LAUNCH_S * 2)  # calls under way in the cloud come to their end
    return len(lab.instances())


def find_terraform(lab: Lab) -> int | None:
    """The process id of the Terraform that works below this lab's folder."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if folder.startswith(str(lab.folder)) and arguments[0].endswith(b"terraform"):
            return int(entry.name)
    return None
