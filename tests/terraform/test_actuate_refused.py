"""What nobody decided is never applied, and what is decided anew while it is planned is not applied either."""

from uuid import uuid4

import pytest

from controller.apply import apply_job
from controller.decide.state_change import ShardChange
from controller.decide.tfvars import Site
from controller.errors import Cause
from controller.result import Place
from controller.shard import Shard, make_job
from store import actuation
from store.deployment import read_deployment
from store.lease import LeaseLost, release_lease, take_lease
from tests.terraform.actuation_world import POOL, REGION, ActuationWorld

pytestmark = pytest.mark.anyio


async def take_shard(world: ActuationWorld) -> Shard:
    """Shard 1 as a round of actuation sees it now."""
    async with world.db.connection() as conn:
        pool = await actuation.read_pool(conn, POOL)
        deployment = await read_deployment(conn)
    assert pool is not None
    site = Site(world.lab.deployment, str(deployment.id), "dev", REGION, "123456789012", world.actuator.allocator_url)
    place = Place(POOL, REGION, "1", "database")
    return Shard(place, site, pool.bases[0].outputs, pool.vms, pool.seen, frozenset(vm.hostname for vm in pool.vms))


async def test_a_plan_that_would_delete_one_vm_too_many_is_refused(world: ActuationWorld) -> None:
    names = await world.plan_vms(3)
    await world.settle()
    # A row that vanishes behind everybody's back: the state still holds its VM, so every plan wants to delete it.
    await world.write("UPDATE vm SET phase = 'gone' WHERE hostname = %s", names[0])
    await world.drain(names[1])
    await world.actuate()
    assert await world.running() == names
    refused = await world.condition("PlanRefused")
    assert refused["status"] is True
    assert f"would delete {names[0]}, which nobody decided" in refused["message"]
    assert [run["outcome"] for run in await world.runs()][-1] == "refused"
    assert len(await world.events("PlanRefused")) == 1
    assert world.leftovers() == []

    await world.write("UPDATE vm SET phase = 'live' WHERE hostname = %s", names[0])
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome = 'refused'")
    await world.settle()
    assert await world.running() == [names[0], names[2]]
    assert (await world.condition("PlanRefused"))["status"] is False


async def test_variables_that_lack_a_vm_are_refused(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    await world.drain(names[0])
    shard = await take_shard(world)
    job = await make_job(world.actuator, shard, shard.deletes)
    job.variables["vms"].pop(names[1])
    result = await apply_job(world.actuator, job)
    assert result.refusal is not None
    assert result.refusal.differences == (f"would delete {names[1]}, which nobody decided",)
    assert await world.running() == names


async def test_a_vm_that_somebody_got_meanwhile_is_not_deleted(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    await world.drain(names[0])
    shard = await take_shard(world)
    job = await make_job(world.actuator, shard, shard.deletes)
    await world.write("UPDATE seat SET state = 'taken', assignment_id = %s WHERE hostname = %s", uuid4(), names[0])
    result = await apply_job(world.actuator, job)
    assert (result.outcome, result.cause, result.applied) == ("interrupted", Cause.STALE_PLAN, False)
    assert names[0] in result.message
    assert await world.running() == names


async def test_a_row_that_moved_on_is_planned_again(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.plan_vms(1)
    await world.actuate()
    await world.drain(names[0])
    shard = await take_shard(world)
    job = await make_job(world.actuator, shard, ShardChange(deletes=frozenset({names[0]})))
    await world.write("UPDATE vm SET version = version + 1 WHERE hostname = %s", names[0])
    result = await apply_job(world.actuator, job)
    assert result.applied is False
    await world.settle()
    assert names[0] not in await world.running()


async def test_a_lost_lease_stops_a_run_before_its_apply(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    await world.settle()
    await world.drain(names[0])
    shard = await take_shard(world)
    job = await make_job(world.actuator, shard, shard.deletes)
    await release_lease(world.db, world.actuator.lease)
    assert await take_lease(world.db, "another", ttl_s=600) is not None
    with pytest.raises(LeaseLost):
        await apply_job(world.actuator, job)
    assert await world.running() == names
    assert world.leftovers() == []
