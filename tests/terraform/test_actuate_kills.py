"""Terraform and the controller killed in mid-apply, some but not all instances made: nothing is made twice, nothing is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from controller.slots import Slots
from sandbox.aws import RunningAws
from sandbox.aws_provider.serve import ReattachServer
from schemas.vm import Phase
from store.db import open_db
from store.lease import release_lease, take_lease
from tests.api.silent_proxy import SilentProxy
from tests.terraform.actuation_world import PATIENT, QUICK, ROOT, ActuationWorld, cloud_environment, find_terraform

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("LABLINK_TEST_KILLS", "1"))
"""Six kills each; from 4 on, 24 in all, at every stage of the apply."""
LEAST = (2, 1, 3, 4)[:ROUNDS]
VMS = 6
LATE_S = 0.3  # each launch, two at once: the whole apply takes about a second and a half
SETTLE_S = 1.0  # a launch that is under way when its Terraform dies is in the listing after this
TIMEOUT_S = 60.0


def slow(world: ActuationWorld) -> ActuationWorld:
    """Launches take a while and go two at a time, so that a kill finds some made and some not; nothing else ends them on a busy machine."""
    world.fault(latency={"RunInstances": LATE_S})
    patient = replace(world.actuator.terraform, pace=PATIENT)
    world.actuator = replace(world.actuator, slots=Slots(most_creates=2), settle_s=SETTLE_S, terraform=patient)
    return world


async def wait_for_part(world: ActuationWorld, least: int) -> None:
    """Until so many instances of the pool are there."""
    with anyio.move_on_after(TIMEOUT_S):
        while len(await world.running()) < least:
            await anyio.sleep(0.02)
        return
    pytest.fail(f"not {least} instances within {TIMEOUT_S:.0f} s: {await world.runs()}")


async def check_whole(world: ActuationWorld, names: list[str]) -> None:
    """As many as declared, each once, all known to the state; and then nothing is left to do."""
    assert await world.running() == sorted(names)
    assert {vm.hostname: vm.phase for vm in await world.vms()} == dict.fromkeys(names, Phase.LIVE)
    runs = len(await world.runs())
    await world.look()
    assert (await world.actuate()).more_work is False
    assert len(await world.runs()) == runs
    assert world.leftovers() == []
    assert await world.read("SELECT * FROM tf_state WHERE lock_info IS NOT NULL") == []


@pytest.mark.parametrize("least", LEAST)
async def test_a_killed_terraform_makes_nothing_twice(world: ActuationWorld, backend: str, least: int) -> None:
    await world.plan_vms(1)
    await world.settle()
    slow(world)
    names = ["-".join([world.lab.deployment, "client-dev", "1"]), *await world.plan_vms(VMS - 1)]
    async with anyio.create_task_group() as group:
        group.start_soon(world.actuate)
        await wait_for_part(world, 1 + least)
        pid = find_terraform(world.actuator.work_dir.resolve())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    last = (await world.runs())[-1]
    assert (last["outcome"], last["applying_at"] is not None) == ("interrupted", True)
    assert len(await world.running()) < VMS
    await world.settle_after_kill()
    await check_whole(world, names)
    pools = await world.read("SELECT failures FROM pool")
    assert pools == [{"failures": 0}]


async def test_what_was_cut_off_is_looked_for_also_after_another_run_of_its_state_that_succeeded(
    world: ActuationWorld,
) -> None:
    (old,) = await world.plan_vms(1)
    await world.settle()
    await world.write("UPDATE run SET outcome = 'interrupted' WHERE applying_at IS NOT NULL")  # it might have made more
    world.actuator = replace(world.actuator, settle_s=3600.0)
    await world.drain(old)
    await world.actuate()
    last = (await world.runs())[-1]
    assert (last["outcome"], last["deletes"]) == ("succeeded", 1)

    (new,) = await world.plan_vms(1)
    await world.look()
    assert (await world.actuate()).retry_after_s is not None
    assert await world.running() == []
    world.actuator = replace(world.actuator, settle_s=0.0)
    await world.look()
    await world.actuate()
    assert await world.running() == [new]


@asynccontextmanager
async def other_controller(world: ActuationWorld, told: dict[str, Any]) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """A controller in a process of its own, which leads while it lives."""
    await release_lease(world.db, world.actuator.lease)
    process = start_controller(told)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_controller(told: dict[str, Any]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.terraform.actuation_process"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    return process


async def test_a_run_outlives_the_connection_by_which_it_is_extended(world: ActuationWorld, dsn: str) -> None:
    """Which is dead, and neither end knows; Terraform may go on for less time than it needs."""
    world.fault(latency={"RunInstances": QUICK.ttl_s + 1})
    names = await world.plan_vms(1)
    async with SilentProxy(dsn) as proxy, open_db(proxy.dsn) as db, anyio.create_task_group() as group:
        world.actuator = replace(world.actuator, db=db)
        group.start_soon(world.settle)
        with anyio.fail_after(TIMEOUT_S):
            while not await world.read("SELECT FROM run WHERE creates > 0 AND applying_at IS NOT NULL"):
                await anyio.sleep(0.02)
        proxy.go_silent()
    assert await world.running() == names
    assert {run["outcome"] for run in await world.runs()} == {"succeeded"}


async def take_over(world: ActuationWorld) -> None:
    lease = None
    with anyio.fail_after(TIMEOUT_S):
        while lease is None:
            lease = await take_lease(world.db, "next", ttl_s=600)
            await anyio.sleep(0.05)
    world.actuator = replace(world.actuator, lease=lease)


@pytest.fixture
def told(world: ActuationWorld, dsn: str, aws: RunningAws, provider: ReattachServer) -> dict[str, Any]:
    return {
        "name": world.lab.deployment,
        "backend": world.lab.state.backend,
        "dsn": dsn,
        "folder": str(world.actuator.work_dir.parent),
        "environment": cloud_environment(aws, provider),
        "aws_url": aws.url,
    }


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("least", LEAST)
async def test_a_dead_controller_leaves_nothing_behind(
    world: ActuationWorld, backend: str, told: dict[str, Any], least: int, number: signal.Signals
) -> None:
    slow(world)
    names = await world.plan_vms(VMS)
    async with other_controller(world, told) as process:
        await wait_for_part(world, least)
        os.kill(process.pid, number)
        before = len(await world.running())
        assert before < VMS
        await take_over(world)
        await world.settle_after_kill()
        assert find_terraform(world.actuator.work_dir.resolve()) is None
        # One that was only stopped wakes up as a zombie: it finds that it leads no more, and changes nothing.
        os.kill(process.pid, signal.SIGCONT)
        await anyio.to_thread.run_sync(process.wait)
    await check_whole(world, names)
    assert "interrupted" in {run["outcome"] for run in await world.runs()}
