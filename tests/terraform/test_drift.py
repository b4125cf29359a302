"""What Terraform made is as its row says; what a hand changes of it afterwards is told part by part."""

import boto3
import pytest

from controller.decide.drift import find_drift
from tests.terraform.actuation_world import REGION, ActuationWorld

pytestmark = pytest.mark.anyio


async def drift(world: ActuationWorld, name: str) -> str:
    await world.look()
    (base,) = await world.read("SELECT outputs FROM base")
    return find_drift(await world.vm(name), base["outputs"])


async def test_what_was_made_is_as_its_row_says_until_a_hand_changes_it(world: ActuationWorld) -> None:
    (name,) = await world.plan_vms(1)
    await world.settle()
    assert await drift(world, name) == ""
    vm = await world.vm(name)
    assert vm.listed
    assert vm.instance_id
    assert (vm.listed.profile is not None, vm.listed.tags["Name"]) == (True, name)
    ec2 = boto3.client(
        "ec2", REGION, endpoint_url=world.aws.url, aws_access_key_id="test", aws_secret_access_key="test"
    )
    other = ec2.create_security_group(GroupName="other", Description="made by hand")["GroupId"]
    interfaces = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [vm.instance_id]}]
    )
    interface = interfaces["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[other])
    ec2.create_tags(Resources=[vm.instance_id], Tags=[{"Key": "Name", "Value": "mine"}, {"Key": "cost", "Value": "7"}])
    assert await drift(world, name) == (
        f"security groups {other} instead of {vm.listed.security_groups[0]}, tag Name mine instead of {name}"
    )
