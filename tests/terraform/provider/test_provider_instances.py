"""The life of `aws_instance` maps as the controller uses them: growing, shrinking, adopted, interrupted."""

import base64
import gzip
import json
import signal

from tests.terraform.provider.world import TIMEOUT_S, Folder, World

VMS = """
variable "vms" { type = map(string) }
variable "adopt" {
  type    = map(string)
  default = {}
}
variable "ami" {}
resource "aws_instance" "vm" {
  for_each      = var.vms
  ami           = var.ami
  instance_type = each.value
  tags          = { Name = each.key }
  root_block_device {
    volume_size = 50
    volume_type = "gp3"
    encrypted   = true
  }
  metadata_options { http_tokens = "required" }
  lifecycle { ignore_changes = all }
  timeouts {
    create = "5m"
    delete = "5m"
  }
}
import {
  for_each = var.adopt
  to       = aws_instance.vm[each.key]
  id       = each.value
}
"""


def _shard(world: World, count: int, name: str = "shard") -> Folder:
    folder = world.folder(name, VMS, TF_VAR_ami=world.images()[0])
    _want(folder, [f"{name}-{n}" for n in range(count)])
    return folder


def _want(folder: Folder, names: list[str], adopt: dict[str, str] | None = None) -> None:
    values = {"vms": dict.fromkeys(names, "t3.micro"), "adopt": adopt or {}}
    folder.write(json.dumps(values), "shard.auto.tfvars.json")


def _ids(folder: Folder) -> dict[str, str]:
    """Id to name as the state has them."""
    return {values["id"]: values["tags"]["Name"] for values in folder.resources().values()}


def test_growing_and_shrinking_touch_only_what_changed(world: World) -> None:
    folder = _shard(world, 3)
    folder.apply()
    first = _ids(folder)
    assert first == world.instances()
    _want(folder, ["shard-0", "shard-2", "shard-3"])
    run = folder.apply()
    touched = {message["hook"]["resource"]["addr"] for message in run.messages() if message["type"] == "apply_start"}
    assert touched == {'aws_instance.vm["shard-1"]', 'aws_instance.vm["shard-3"]'}
    kept = {identity for identity, name in first.items() if name != "shard-1"}
    assert kept <= set(world.instances())
    assert _ids(folder) == world.instances()


def test_an_instance_terminated_behind_our_back_is_deleted_without_refresh(world: World) -> None:
    folder = _shard(world, 2)
    folder.apply()
    lost = next(identity for identity, name in world.instances().items() if name == "shard-1")
    world.client("ec2").terminate_instances(InstanceIds=[lost])
    _want(folder, ["shard-0"])
    plan = folder.succeed("apply", "-refresh=false", "-auto-approve", "-no-color")
    assert "0 added, 0 changed, 1 destroyed" in plan.output
    assert _ids(folder) == world.instances()
    assert len(world.instances()) == 1


def test_an_instance_that_aws_has_forgotten_is_deleted_without_refresh(world: World) -> None:
    folder = _shard(world, 1)
    folder.apply()
    world.reset()
    _want(folder, [])
    folder.succeed("apply", "-refresh=false", "-auto-approve")
    assert folder.resources() == {}


def test_a_lost_instance_is_planned_anew_after_refresh(world: World) -> None:
    folder = _shard(world, 2)
    folder.apply()
    world.client("ec2").terminate_instances(InstanceIds=[next(iter(world.instances()))])
    assert "Plan: 1 to add, 0 to change, 0 to destroy." in folder.plan_exit_code().output


def test_an_instance_made_by_boto3_is_adopted_and_then_rests(world: World) -> None:
    folder = _shard(world, 1)
    made = world.client("ec2").run_instances(
        ImageId=world.images()[0],
        InstanceType="t3.large",
        MinCount=1,
        MaxCount=1,
        UserData=gzip.compress(b"#!/bin/sh"),
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "orphan"}]}],
    )
    orphan = made["Instances"][0]["InstanceId"]
    _want(folder, ["shard-0", "orphan"], adopt={"orphan": orphan})
    applied = folder.succeed("apply", "-auto-approve", "-no-color")
    assert "1 imported, 1 added, 0 changed, 0 destroyed" in applied.output
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output
    assert _ids(folder)[orphan] == "orphan"
    user_data = folder.resources()['aws_instance.vm["orphan"]']["user_data_base64"]
    assert gzip.decompress(base64.b64decode(user_data)) == b"#!/bin/sh"
    assert _ids(folder) == world.instances()


def test_adopting_what_does_not_exist_is_an_error(world: World) -> None:
    folder = _shard(world, 0)
    _want(folder, ["ghost"], adopt={"ghost": "i-0123456789abcdef0"})
    run = folder.run("apply", "-auto-approve", "-no-color")
    assert run.exit_code == 1
    assert "Cannot import non-existent remote object" in run.output


def test_an_instance_is_changed_in_place_where_aws_can(world: World) -> None:
    hcl = """
variable "ami" {}
variable "new" { default = false }
resource "aws_instance" "vm" {
  ami           = var.ami
  instance_type = "t3.micro"
  volume_tags   = { age = var.new ? "new" : "old" }
  root_block_device {
    volume_size = var.new ? 60 : 50
    volume_type = "gp3"
  }
  metadata_options { http_tokens = var.new ? "required" : "optional" }
}
"""
    folder = world.folder("changed", hcl, TF_VAR_ami=world.images()[0])
    folder.apply()
    before = folder.resources()["aws_instance.vm"]
    folder.write("new = true", "terraform.tfvars")
    applied = folder.succeed("apply", "-auto-approve", "-no-color")
    assert "0 added, 1 changed, 0 destroyed" in applied.output, applied.output
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output
    vm = folder.resources()["aws_instance.vm"]
    assert vm["id"] == before["id"]
    assert vm["metadata_options"][0]["http_tokens"] == "required"
    volume = world.client("ec2").describe_volumes(VolumeIds=[vm["root_block_device"][0]["volume_id"]])["Volumes"][0]
    assert volume["Size"] == 60
    assert {"Key": "age", "Value": "new"} in volume["Tags"]


def test_an_interrupted_apply_leaves_the_state_equal_to_reality(world: World) -> None:
    folder = _shard(world, 60)
    process = folder.start("apply", "-auto-approve", "-json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "apply_complete":
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    made = world.instances()
    assert 0 < len(made) < 60
    assert _ids(folder) == made
    _want(folder, [])
    folder.apply()
    assert world.instances() == {}
