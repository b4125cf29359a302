"""The published client package, run as it runs on a VM, against our API: from waiting to its Chrome Remote Desktop command."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.token import vm_token
from tests.api.world import SECRET, YAML, World, eventually, serving

pytestmark = pytest.mark.anyio

NAME = "lab-client-test-1"
SCRIPTS = Path(sys.executable).parent


@contextmanager
def client(world: World, folder: Path, script: str, token: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """One of the package's programs, with a folder of stand-ins first on its PATH."""
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ALLOCATOR_URL": world.url,
        "VM_NAME": NAME,
        "API_TOKEN": vm_token(SECRET.encode(), NAME, 1) if token is None else token,
        "NO_PROXY": "*",
    }
    with (folder / f"{script}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, SCRIPTS / script], env=env, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def read_vm(world: World) -> dict[str, object]:
    (row,) = await world.sql("SELECT * FROM vm WHERE hostname = %s", NAME)
    return row


async def test_subscribe_waits_and_gets_its_command(dsn: str, tmp_path: Path) -> None:
    """The client runs `start-host` by an absolute path that this machine lacks: its own log says that it got that far."""
    async with serving(dsn, slow_poll_s=0) as world:
        await world.add_vms()
        with client(world, tmp_path, "subscribe") as process:
            await eventually(lambda: len(world.app.state.waiters) == 1, 60)
            assert process.poll() is None
            assert (await world.request("ada@example.org", "abc")).status_code == 200
            await eventually(lambda: process.poll() is not None, 60)
        log = (tmp_path / "subscribe.log").read_text()
        assert "Received CRD command from allocator" in log
        assert "CRD setup complete" in log
        assert process.returncode == 0


async def test_subscribe_gets_a_command_that_was_there_before_it_asked(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, yaml=YAML + "vm_auth: hostname\n") as world:
        await world.add_vms()
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        await world.request("ada@example.org", "abc")
        with client(world, tmp_path, "subscribe", token="") as process:
            await eventually(lambda: process.poll() is not None, 60)
        assert "Received CRD command from allocator" in (tmp_path / "subscribe.log").read_text()


async def test_subscribe_comes_back_after_its_call_was_broken_off(dsn: str, tmp_path: Path) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        await world.add_vms()
        with client(world, tmp_path, "subscribe") as process:
            await eventually(lambda: len(world.app.state.waiters) == 1, 60)
            world.app.state.waiters._calls[NAME].break_off()
            log = tmp_path / "subscribe.log"
            await eventually(lambda: "Retrying connection" in log.read_text(), 60)
            assert process.poll() is None


async def test_check_gpu_and_its_report(dsn: str, tmp_path: Path) -> None:
    stand_in(tmp_path, "nvidia-smi", "exit 0")
    async with serving(dsn) as world:
        await world.add_vms()

        async def reported() -> bool:
            return (await read_vm(world))["gpu_health"] == "Healthy"

        with client(world, tmp_path, "check_gpu"):
            await eventually(reported, 60)
