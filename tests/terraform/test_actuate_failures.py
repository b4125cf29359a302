"""What fails says why, is counted where it should be, costs nothing that succeeded, and heals by itself."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from controller.errors import RetryLater
from controller.slots import Slots
from schemas.token import vm_token
from schemas.vm import Phase
from tests.terraform.actuation_world import POOL, ActuationWorld

pytestmark = pytest.mark.anyio


async def forget_pauses(world: ActuationWorld) -> None:
    """As if the pauses after failures were over."""
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome <> 'succeeded'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")


async def test_capacity_that_lacks_for_one_of_four_costs_only_that_one(world: ActuationWorld) -> None:
    good = await world.plan_vms(3)
    (refused,) = await world.plan_vms(1, instance_type="g4dn.xlarge", zone="us-west-2a", gpu=True)
    world.fault(on="RunInstances", error="InsufficientInstanceCapacity", where={"InstanceType": "g4dn.xlarge"})
    await world.actuate()
    assert await world.running() == good
    phases = {vm.hostname: vm.phase for vm in await world.vms()}
    assert phases == dict.fromkeys(good, Phase.LIVE) | {refused: Phase.DRAINING}
    (refusal,) = await world.read("SELECT region, zone, instance_type FROM refusal")
    assert refusal == {"region": "us-west-2", "zone": "us-west-2a", "instance_type": "g4dn.xlarge"}
    (pool,) = await world.read("SELECT failures, failure, batch FROM pool")
    assert pool == {"failures": 0, "failure": None, "batch": None}, "a refused place is no failure of the pool"
    last = (await world.runs())[-1]
    assert (last["outcome"], last["cause"]) == ("failed", "capacity")
    (event,) = await world.events("CreateFailed")
    assert event["subject"] == f"vm/{refused}"
    assert "another type or zone" in event["message"]


async def test_after_a_failure_creates_go_one_then_two_at_a_time(world: ActuationWorld) -> None:
    world.fault(on="RunInstances", error="UnauthorizedOperation", times=6)
    names = await world.plan_vms(4)
    await world.actuate()
    (pool,) = await world.read("SELECT failures, failure, batch FROM pool")
    assert pool == {"failures": 1, "failure": "credentials", "batch": 1}
    assert (await world.condition("ApplyFailed"))["reason"] == "credentials"
    assert (await world.actuate()).retry_after_s is not None
    world.end_faults()
    made = []
    for _ in range(3):
        await forget_pauses(world)
        await world.look()
        await world.actuate()
        made.append(len(await world.running()))
    assert made == [1, 3, 4]
    assert await world.running() == names
    (pool,) = await world.read("SELECT failures, failure, batch FROM pool")
    assert pool == {"failures": 0, "failure": None, "batch": 8}
    assert (await world.condition("ApplyFailed"))["status"] is False


async def test_a_failure_is_over_when_what_failed_is_not_asked_for_any_more(world: ActuationWorld) -> None:
    world.fault(on="RunInstances", error="VcpuLimitExceeded")
    await world.plan_vms(1)
    await world.actuate()
    assert (await world.condition("ApplyFailed"))["reason"] == "quota"
    assert await world.read("SELECT zone, market, cause FROM refusal WHERE cause = 'quota'") == [
        {"zone": "", "market": "on-demand", "cause": "quota"}
    ]
    await world.write("UPDATE vm SET phase = 'gone'")
    await world.actuate()
    assert (await world.condition("ApplyFailed"))["status"] is False


async def test_what_aws_refuses_outside_terraform_is_a_sentence_and_heals(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    world.fault(on="GetRole", error="AccessDenied")
    assert (await world.actuate()).retry_after_s is not None
    condition = await world.condition("ApplyFailed")
    assert (condition["status"], condition["reason"]) == (True, "credentials")
    assert "looking for the base" in condition["message"]
    world.end_faults()
    await world.settle()
    assert await world.running() == names
    assert (await world.condition("ApplyFailed"))["status"] is False


async def test_a_missing_terraform_is_a_sentence_and_heals(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    right = world.actuator
    world.actuator = replace(right, terraform=replace(right.terraform, binary=Path("/nowhere/terraform")))
    with pytest.raises(RetryLater, match="Install terraform"):
        await world.actuate()
    assert (await world.condition("ApplyFailed"))["reason"] == "no_terraform"
    world.actuator = right
    await world.settle()
    assert await world.running() == names
    assert (await world.condition("ApplyFailed"))["status"] is False


async def test_a_work_folder_that_cannot_be_written_is_a_sentence_and_heals(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    world.leave_shared_templates()
    world.actuator.work_dir.rmdir()
    world.actuator.work_dir.write_text("in the way")
    assert (await world.actuate()).retry_after_s is not None
    condition = await world.condition("ApplyFailed")
    assert condition["status"] is True
    assert "working copy" in condition["message"]
    world.actuator.work_dir.unlink()
    await forget_pauses(world)
    await world.settle()
    assert await world.running() == names


async def test_aws_that_answers_500_is_tried_again(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    world.fault(on="RunInstances", error="500")
    await world.actuate()
    assert (await world.runs())[-1]["cause"] == "network"
    world.end_faults()
    await forget_pauses(world)
    await world.settle()
    assert await world.running() == names


async def test_a_stopped_controller_lets_terraform_save_its_state(world: ActuationWorld, backend: str) -> None:
    """Cancelling a round is what the program does when SIGTERM's patience is over: SIGINT to Terraform, then all is recorded."""
    world.fault(latency={"RunInstances": 0.3})
    world.actuator = replace(
        world.actuator,
        slots=Slots(most_creates=2),
        terraform=replace(world.actuator.terraform, pace=replace(world.actuator.terraform.pace, grace_s=30.0)),
    )
    names = await world.plan_vms(6)
    async with anyio.create_task_group() as group:
        group.start_soon(world.actuate)
        while len(await world.running()) < 2:
            await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    last = (await world.runs())[-1]
    assert (last["outcome"], last["ended_at"] is not None) == ("interrupted", True)
    there = await world.running()
    assert 2 <= len(there) < 6
    in_state = sorted(vm.hostname for vm in await world.vms() if vm.in_state)
    assert in_state == there
    assert await world.read("SELECT failures FROM pool WHERE name = %s", POOL) == [{"failures": 0}]
    ended = sorted(vm.hostname for vm in await world.vms() if vm.phase is Phase.DRAINING)
    world.end_faults()
    await world.settle()
    assert await world.running() == sorted(set(names) - set(ended))


async def test_secrets_are_in_no_argument_output_or_file_that_stays(world: ActuationWorld) -> None:
    world.leave_shared_templates()
    names = await world.plan_vms(2)
    world.fault(latency={"RunInstances": 0.5})
    arguments: list[bytes] = []
    async with anyio.create_task_group() as group:
        group.start_soon(world.actuate)
        while not await world.events("Created"):
            arguments += read_arguments()
            await anyio.sleep(0.05)
    assert any(b"-out=" in words or b"apply" in words for words in arguments)
    (sealed,) = await world.read("SELECT value FROM secret")
    assert b"PRIVATE KEY" not in bytes(sealed["value"])
    (state,) = await world.read("SELECT content FROM tf_state WHERE state_key LIKE %s", "%/1")
    assert names[0].encode() not in bytes(state["content"])
    tokens = [vm_token(world.actuator.secret, name, 1) for name in names]
    said = str(await world.runs()) + str(await world.read("SELECT * FROM event"))
    kept = b"".join(path.read_bytes() for path in world.actuator.work_dir.rglob("*") if path.is_file())
    for token in tokens:
        assert token not in said
        assert token.encode() not in kept
        assert not any(token.encode() in words for words in arguments)
    assert b"password" not in (
        next(world.actuator.work_dir.rglob(".terraform/terraform.tfstate"))
    ).read_bytes().replace(b'"password": null', b"")


def read_arguments() -> list[bytes]:
    """The command lines of all processes."""
    return [read_bytes(entry / "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
