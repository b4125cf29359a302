"""From rows to instances and back, with the real terraform: only what changed is touched, and a pool at rest runs nothing."""

import pytest

from schemas.vm import Phase
from tests.terraform.actuation_world import ActuationWorld

pytestmark = pytest.mark.anyio


async def test_one_to_five_to_three_touches_only_what_changed(world: ActuationWorld, backend: str) -> None:
    first = await world.plan_vms(1)
    await world.settle()
    assert await world.running() == first
    before = await world.vm(first[0])
    assert (before.phase, before.in_state) == (Phase.LIVE, True)
    assert before.instance_id
    assert before.private_ip

    names = first + await world.plan_vms(4)
    await world.settle()
    assert await world.running() == sorted(names)
    assert (await world.vm(first[0])).instance_id == before.instance_id

    kept = {vm.hostname: vm.instance_id for vm in await world.vms() if vm.hostname not in names[1:3]}
    await world.drain(*names[1:3])
    await world.settle()
    assert await world.running() == sorted(kept)
    assert {vm.hostname: vm.instance_id for vm in await world.vms() if vm.phase is Phase.LIVE} == kept
    runs = await world.runs()
    assert [(r["creates"], r["deletes"]) for r in runs if "base" not in r["state_key"]] == [(1, 0), (4, 0), (0, 2)]
    assert {r["outcome"] for r in runs} == {"succeeded"}
    assert world.leftovers() == []


async def test_a_pool_at_rest_runs_no_terraform(world: ActuationWorld) -> None:
    await world.plan_vms(2)
    await world.settle()
    runs = len(await world.runs())
    for _ in range(5):
        outcome = await world.actuate()
        assert (outcome.more_work, outcome.retry_after_s) == (False, None)
    assert len(await world.runs()) == runs
