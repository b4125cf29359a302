"""What is done to a pool in `test_contract`: each episode is lived through twice, with the real Terraform on moto and with the simulated
one, and answers with what there is to compare."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import anyio

from controller.errors import NeedsOperator
from controller.slots import Slots
from schemas.tfstate import parse_state
from schemas.vm import Phase
from store.tfstate import read_state
from tests.terraform.actuation_world import POOL, REGION, ActuationWorld

GPU: dict[str, Any] = {"instance_type": "g4dn.xlarge", "gpu": True}
TERRAFORM = "SELECT reason, subject FROM event WHERE actor = 'terraform' ORDER BY 1, 2"
RUNS = "SELECT state_key, outcome, cause, creates, imports, deletes, applying_at IS NOT NULL AS applied FROM run ORDER BY id"
LOCKED = "SELECT state_key FROM tf_state WHERE lock_info IS NOT NULL"
SHARD = f"{POOL}/{REGION}/1"


async def describe(world: ActuationWorld) -> dict[str, Any]:
    """Rows, instances, runs, states and events, by names that both worlds share."""

    def short(name: str) -> str:
        return name.replace(f"{world.lab.deployment}-{POOL}-dev-", "vm ")

    async with world.db.connection() as conn:
        state = parse_state(await read_state(conn, world.actuator.cipher, SHARD))
        base = parse_state(await read_state(conn, world.actuator.cipher, f"{POOL}/{REGION}/base"))
    return {
        "rows": {short(vm.hostname): (vm.phase, vm.in_state, vm.instance_id is not None) for vm in await world.vms()},
        "running": [short(name) for name in await world.running()],
        "runs": [tuple(row.values()) for row in await world.read(RUNS)],
        "state": sorted((short(vm.hostname), vm.tainted) for vm in state.vms),
        "base": (base.resources, sorted(base.outputs)),
        "events": [(row["reason"], short(row["subject"])) for row in await world.read(TERRAFORM)],
        "locked": [row["state_key"] for row in await world.read(LOCKED)],
    }


async def make_and_end(world: ActuationWorld) -> Mapping[str, Any]:
    names = await world.plan_vms(3)
    await world.settle()
    made = await describe(world)
    await world.drain(names[1])
    await world.settle()
    return {"made": made, "ended": await describe(world)}


async def no_capacity_for_one(world: ActuationWorld) -> Mapping[str, Any]:
    await world.plan_vms(2)
    await world.plan_vms(1, **GPU)
    world.fault(on="RunInstances", error="InsufficientInstanceCapacity", times=1, where={"InstanceType": "g4dn.xlarge"})
    await world.actuate()
    return await describe(world)


async def quota_is_used_up(world: ActuationWorld) -> Mapping[str, Any]:
    await world.plan_vms(1)
    await world.plan_vms(1, **GPU)
    world.fault(on="RunInstances", error="VcpuLimitExceeded", times=1, where={"InstanceType": "g4dn.xlarge"})
    await world.actuate()
    return await describe(world)


async def not_allowed(world: ActuationWorld) -> Mapping[str, Any]:
    await world.plan_vms(1, **GPU)
    world.fault(on="RunInstances", error="UnauthorizedOperation", times=1, where={"InstanceType": "g4dn.xlarge"})
    await world.actuate()
    return await describe(world)


async def foreign_lock(world: ActuationWorld) -> Mapping[str, Any]:
    await world.plan_vms(1)
    await world.settle()
    await world.write('UPDATE tf_state SET lock_info = \'{"ID": "x", "Who": "ada"}\' WHERE state_key = %s', SHARD)
    await world.plan_vms(1)
    await world.look()
    try:
        await world.actuate()
    except NeedsOperator as needs:
        said = "ada" in str(needs)
    return {"said": said, "left": await describe(world)}


async def vanished(world: ActuationWorld) -> Mapping[str, Any]:
    """Somebody ends an instance by hand; its row ends, and the state lets go of it."""
    (name, _) = await world.plan_vms(2)
    await world.settle()
    vm = await world.vm(name)
    assert vm.instance_id
    await world.actuator.ec2.terminate(REGION, [vm.instance_id])
    await world.look()
    await world.drain(name)
    await world.settle()
    return await describe(world)


async def adopted(world: ActuationWorld) -> Mapping[str, Any]:
    """The state is lost with its instances alive: they are imported under their names."""
    await world.plan_vms(2)
    await world.settle()
    await world.write("DELETE FROM tf_state WHERE state_key = %s", SHARD)
    await world.write("UPDATE vm SET in_state = false")
    await world.settle()
    return await describe(world)


async def imported_in_vain(world: ActuationWorld) -> Mapping[str, Any]:
    """An instance that is to be imported ends between the listing and the plan."""
    (name,) = await world.plan_vms(1)
    await world.settle()
    vm = await world.vm(name)
    await world.write("DELETE FROM tf_state WHERE state_key = %s", SHARD)
    await world.write("UPDATE vm SET in_state = false, instance_id = 'i-0123456789abcdef0'")
    await world.write("UPDATE instance SET instance_id = 'i-0123456789abcdef0' WHERE instance_id = %s", vm.instance_id)
    await world.actuate()
    return await describe(world)


async def stopped_half_way(world: ActuationWorld) -> Mapping[str, Any]:
    """The controller ends in mid-apply and lets Terraform save what it has; then another goes on."""
    await world.plan_vms(1)
    await world.settle()
    _go_slowly(world)
    await world.plan_vms(5)
    async with anyio.create_task_group() as group:
        group.start_soon(world.actuate)
        await _wait_for(world, 3)
        group.cancel_scope.cancel()
    outcome = (await world.runs())[-1]["outcome"]
    return {"outcome": outcome, "whole": await _recover(world)}


async def killed_half_way(world: ActuationWorld) -> Mapping[str, Any]:
    """Terraform is killed in mid-apply, its state unsaved and locked."""
    await world.plan_vms(1)
    await world.settle()
    _go_slowly(world)
    await world.plan_vms(5)
    async with anyio.create_task_group() as group:
        group.start_soon(world.actuate)
        await _wait_for(world, 3)
        world.kill_terraform()
    outcome = (await world.runs())[-1]["outcome"]
    return {"outcome": outcome, "whole": await _recover(world)}


def _go_slowly(world: ActuationWorld) -> None:
    world.fault(latency={"RunInstances": 0.3})
    world.actuator = replace(world.actuator, slots=Slots(most_creates=2), settle_s=1.0)


async def _wait_for(world: ActuationWorld, least: int) -> None:
    while len(await world.running()) < least:
        await anyio.sleep(0.02)


async def _recover(world: ActuationWorld) -> Mapping[str, Any]:
    """However far it had come: all there once, all in the state."""
    world.end_faults()
    await world.settle_after_kill(deadline_s=600)
    whole = await describe(world)
    assert all(row[0] is Phase.LIVE for row in whole["rows"].values())
    return {key: whole[key] for key in ("rows", "running", "state", "locked")}


Episode = Callable[[ActuationWorld], Awaitable[Mapping[str, Any]]]
EPISODES: tuple[Episode, ...] = (
    make_and_end, no_capacity_for_one, quota_is_used_up, not_allowed, foreign_lock, vanished, adopted, imported_in_vain,
    stopped_half_way, killed_half_way,
)  # fmt: skip
