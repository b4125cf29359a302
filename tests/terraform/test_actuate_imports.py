"""Instances that the state does not know, or knows as half made: imported, untainted, ended, or observed again."""

import boto3
import pytest

from controller.ec2 import Ec2
from controller.errors import Cause, CloudError
from schemas.vm import Phase
from tests.terraform.actuation_world import POOL, REGION, ActuationWorld

pytestmark = pytest.mark.anyio


async def lose_state(world: ActuationWorld) -> None:
    """As after a killed run: everything is there, and the state was never saved."""
    await world.write("DELETE FROM tf_state WHERE state_key LIKE %s", "%/1")
    await world.write("UPDATE vm SET in_state = false")


async def test_recorded_instances_are_imported_in_the_run_that_creates(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    ids = {vm.hostname: vm.instance_id for vm in await world.vms()}
    await lose_state(world)
    names += await world.plan_vms(1)
    await world.settle()
    assert await world.running() == names
    assert {vm.hostname: vm.instance_id for vm in await world.vms() if vm.hostname in ids} == ids
    last = (await world.runs())[-1]
    assert (last["creates"], last["imports"]) == (1, 2)


async def test_a_planned_vm_whose_name_an_instance_carries_is_not_created(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    await world.settle()
    await lose_state(world)
    await world.write("UPDATE vm SET phase = 'planned', instance_id = NULL")
    await world.settle()
    assert await world.running() == names
    await world.recognise()
    await world.settle()
    assert await world.running() == names
    assert [run["imports"] for run in await world.runs()][-1] == 1


async def test_a_draining_instance_that_the_state_does_not_know_is_imported_and_deleted(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    await lose_state(world)
    await world.drain(names[0])
    await world.settle()
    assert await world.running() == names[1:]


async def test_an_import_that_fails_is_dropped_and_observed_again(world: ActuationWorld) -> None:
    (name,) = await world.plan_vms(1)
    gone = "i-0123456789abcdef0"
    row = (gone, REGION, name, POOL)
    await world.write(
        "INSERT INTO instance (instance_id, region, hostname, pool, state, instance_type, image_id, launched_at, first_seen_at)"
        " VALUES (%s, %s, %s, %s, 'running', 't3.large', 'ami-1', now(), now())",
        *row,
    )
    await world.write("UPDATE vm SET phase = 'live', instance_id = %s, applied_at = now()", gone)
    await world.actuate()
    vm = await world.vm(name)
    assert (vm.phase, vm.instance_id) == (Phase.PLANNED, None)
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome = 'failed'")
    await world.settle()
    assert await world.running() == [name]


@pytest.mark.parametrize("heard", [False, True], ids=["silent", "heard"])
async def test_a_half_made_vm_ends_unless_it_is_heard_of(world: ActuationWorld, heard: bool) -> None:
    (name,) = await world.plan_vms(1)
    await world.actuate()
    (half,) = await world.plan_vms(1)
    if heard:
        await world.write("INSERT INTO vm_heard (hostname, heard_at) VALUES (%s, now())", half)
    world.fault(on="DescribeInstances", error="UnauthorizedOperation")
    await world.actuate()
    world.end_faults()
    vm = await world.vm(half)
    assert (vm.in_state, vm.instance_id is not None) == (True, True)
    assert vm.phase is (Phase.LIVE if heard else Phase.DRAINING)
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome = 'failed'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")
    (more,) = await world.plan_vms(1)
    await world.settle()
    assert await world.running() == sorted([name, more] + ([half] if heard else []))
    assert (await world.vm(half)).instance_id == vm.instance_id


async def test_instances_that_no_state_holds_end_and_stopped_ones_start(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    ids = [(await world.vm(name)).instance_id for name in names]
    client = boto3.client(
        "ec2", region_name=REGION, endpoint_url=world.aws.url, aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.stop_instances(InstanceIds=[str(ids[0])])
    await world.look()
    await world.write("UPDATE vm SET started_at = now() WHERE instance_id = %s", ids[0])
    await world.write("UPDATE instance SET verdict = 'terminate' WHERE instance_id = %s", ids[1])
    await world.actuate()
    states = {i.instance_id: i.state for i in await world.look()}
    assert states[str(ids[0])] in ("pending", "running")
    assert states[str(ids[1])] in ("shutting-down", "terminated")
    await world.actuator.ec2.terminate(REGION, ["i-0123456789abcdef0"])  # one that is gone already is fine


async def test_a_vm_is_rebooted_once_for_a_wish_and_again_where_aws_refused(world: ActuationWorld) -> None:
    (name,) = await world.plan_vms(1)
    await world.settle()
    await world.write("UPDATE vm SET reboot_asked_at = now()")
    world.fault(on="RebootInstances", error="RequestLimitExceeded", times=20)
    await world.actuate()
    assert not await world.events("VmRebooted")
    world.end_faults()
    for _ in range(2):
        await world.actuate()
    (event,) = await world.events("VmRebooted")
    assert event["subject"] == f"vm/{name}"
    (row,) = await world.read("SELECT rebooted_at >= reboot_asked_at AS fulfilled FROM vm")
    assert row["fulfilled"]


async def test_a_listing_that_aws_refuses_raises_and_is_never_empty(world: ActuationWorld) -> None:
    world.fault(on="DescribeInstances", error="UnauthorizedOperation")
    with pytest.raises(CloudError, match="listing the instances of us-west-2") as raised:
        await world.look()
    assert raised.value.cause is Cause.CREDENTIALS


async def test_the_account_and_amis_by_name(world: ActuationWorld) -> None:
    ec2 = Ec2(world.aws.url, "test", "test")
    assert (await ec2.read_account_id()).isdecimal()
    client = boto3.client(
        "ssm", region_name=REGION, endpoint_url=world.aws.url, aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.put_parameter(Name="/lab/image", Value="ami-0123456789abcdef0", Type="String", Overwrite=True)
    client.put_parameter(Name="/lab/word", Value="none", Type="String", Overwrite=True)
    assert await ec2.resolve_ami(REGION, "/lab/image") == "ami-0123456789abcdef0"
    with pytest.raises(CloudError, match="no AMI id"):
        await ec2.resolve_ami(REGION, "/lab/word")
    with pytest.raises(CloudError, match="/lab/nothing"):
        await ec2.resolve_ami(REGION, "/lab/nothing")
