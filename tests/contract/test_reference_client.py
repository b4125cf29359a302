"""The published client package, run as it runs on a VM, against our API: from waiting to its Chrome Remote Desktop command.

The client calls `start-host` by its absolute path: a mount namespace of its own shows it a stand-in there that records what it was given.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.token import vm_token
from tests.api.world import SECRET, YAML, World, eventually, serving

pytestmark = pytest.mark.anyio

NAME = "lab-client-test-1"
SCRIPTS = Path(sys.executable).parent


START_HOST = "opt/google/chrome-remote-desktop/start-host"
RECORD = """
{
    echo "DISPLAY=$DISPLAY"
    printf '%s\\n' "$@"
    cat
} > "$HOME/given.part"
mv "$HOME/given.part" "$HOME/given"
"""
WITH_OPT = """
for entry in /opt/*; do
    [ -d "$entry" ] || continue
    mkdir -p "$0$entry" && mount --rbind "$entry" "$0$entry" || exit 1
done
mount --rbind "$0/opt" /opt && exec "$@"
"""
"""Runs a program that sees the `opt` of a folder at /opt, and what is there beside it; nobody else does."""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
HAS_NAMESPACES = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def client(
    world: World, folder: Path, script: str, *more: str, token: str | None = None, within: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """One of the package's programs, with a folder of stand-ins first on its PATH; `within`: what runs it."""
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ALLOCATOR_URL": world.url,
        "VM_NAME": NAME,
        "API_TOKEN": vm_token(SECRET.encode(), NAME, 1) if token is None else token,
        "NO_PROXY": "*",
    }
    with (folder / f"{script}.log").open("ab") as log:
        process = subprocess.Popen(
            [*within, sys.executable, SCRIPTS / script, *more], env=env, cwd=folder, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def running(program: Path) -> Iterator[None]:
    """A program that somebody on the VM uses meanwhile."""
    process = subprocess.Popen([program])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def sleeps(pid: int) -> bool:
    """Whether it has looked, and waits for its next look (`man 5 proc_pid_stat`)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def read_vm(world: World) -> dict[str, object]:
    (row,) = await world.sql("SELECT * FROM vm WHERE hostname = %s", NAME)
    return row


FREE = "SELECT hostname FROM seat WHERE state = 'free'"  # the held call was read: a person can get it


async def test_subscribe_waits_and_gets_its_command(dsn: str, tmp_path: Path) -> None:
    """The client runs `start-host` by an absolute path that this machine lacks: its own log says that it got that far."""
    async with serving(dsn, slow_poll_s=0) as world:
        await world.add_vms()
        with client(world, tmp_path, "subscribe") as process:
            await eventually(lambda: world.sql(FREE), 60)
            assert process.poll() is None
            assert (await world.request("ada@example.org", "abc")).status_code == 200
            await eventually(lambda: process.poll() is not None, 60)
        log = (tmp_path / "subscribe.log").read_text()
        assert "Received CRD command from allocator" in log
        assert "CRD setup complete" in log
        assert process.returncode == 0


@pytest.mark.skipif(not HAS_NAMESPACES, reason="this machine lets nobody make a mount namespace")
async def test_start_host_is_given_the_code_the_name_and_the_pin_twice(dsn: str, tmp_path: Path) -> None:
    stand_in(tmp_path, START_HOST, RECORD)
    async with serving(dsn, slow_poll_s=0) as world:
        await world.add_vms()
        within = (*NAMESPACE, "sh", "-c", WITH_OPT, str(tmp_path))
        with client(world, tmp_path, "subscribe", within=within) as process:
            await eventually(lambda: world.sql(FREE), 60)
            seat = (await world.request("ada@example.org", "abc")).json()
            await eventually(lambda: process.poll() is not None, 60)
    assert (tmp_path / "given").read_text().splitlines() == [
        "DISPLAY=",
        "--code=4/abc",
        "--redirect-url=https://remotedesktop.google.com/_/oauthredirect",
        f"--name={NAME}",
        seat["pin"],
        seat["pin"],
    ]
    assert "CRD connection established successfully" in (tmp_path / "subscribe.log").read_text()


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


async def test_use_of_the_software_is_told_when_it_starts_and_stops(dsn: str, tmp_path: Path) -> None:
    """It looks every 20 to 25 s, so this takes about a minute; nearly all of it is waiting.

    It takes no process for the software that has the watcher's own name in its command line: so this test's name has it not.
    """
    software = f"stand-in-{tmp_path.parent.name}"
    stand_in(tmp_path, software, "sleep 600 & trap 'kill $!' EXIT TERM; wait")
    async with serving(dsn) as world:
        await world.add_vms()

        async def told(in_use: bool) -> bool:
            return (await read_vm(world))["in_use"] is in_use

        with client(world, tmp_path, "update_inuse_status", f"client.software={software}") as watcher:
            log = tmp_path / "update_inuse_status.log"
            await eventually(lambda: "Monitoring process" in log.read_text() and sleeps(watcher.pid), 60)
            with running(tmp_path / software):
                await eventually(lambda: told(True), 120)
            await eventually(lambda: told(False), 120)
