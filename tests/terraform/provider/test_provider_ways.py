"""The ways in: reattached under both registries' names, several terraforms at once, and a filesystem mirror."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.aws_provider.mirror import write_mirror
from sandbox.aws_provider.serve import ADDRESSES, serve_reattach
from tests.terraform.provider.world import Folder, World


def _vms(image: str, count: int, tag: str) -> str:
    return f"""
resource "aws_instance" "vm" {{
  count         = {count}
  ami           = "{image}"
  instance_type = "t3.micro"
  tags          = {{ Name = "{tag}-${{count.index}}" }}
}}
"""


def test_reattach_names_the_addresses_of_terraform_and_opentofu(world: World) -> None:
    named = json.loads(world.provider.environment["TF_REATTACH_PROVIDERS"])
    assert (
        set(named) == {"registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws"} == set(ADDRESSES)
    )
    for entry in named.values():
        assert entry["Test"] is True
        assert entry["Addr"]["String"] == f"127.0.0.1:{world.provider.port}"


def test_a_taken_port_is_refused_with_a_sentence(world: World) -> None:
    with pytest.raises(OSError, match="is taken"):
        serve_reattach(world.provider.port)


def test_a_terraform_that_comes_too_late_kills_nobody(world: World) -> None:
    provider = serve_reattach(endpoint_url=world.endpoint_url)
    late = world.folder("late", _vms(world.images()[0], 1, "us-west-2"), **provider.environment)
    provider.stop()
    assert "Failed to load plugin" in late.run("plan").output  # and this process, which served, is still there


def test_several_terraforms_at_once_keep_their_own_settings(world: World) -> None:
    image = world.images()[0]
    regions = ("us-west-2", "us-east-1", "eu-west-1")

    def apply(region: str) -> Folder:
        folder = world.folder(region, _vms(image, 4, region))
        block = f'provider "aws" {{\n  region = "{region}"\n  default_tags {{ tags = {{ of = "{region}" }} }}\n}}\n'
        folder.write(block, "provider.tf")
        folder.apply()
        return folder

    with ThreadPoolExecutor(len(regions)) as pool:
        folders = dict(zip(regions, pool.map(apply, regions), strict=True))
    for region, folder in folders.items():
        made = folder.resources().values()
        assert len(made) == 4
        assert {(item["region"], item["tags_all"]["of"]) for item in made} == {(region, region)}
        assert all(item["arn"].startswith(f"arn:aws:ec2:{region}:") for item in made)


def test_a_resource_may_live_in_another_region(world: World) -> None:
    hcl = 'resource "aws_cloudwatch_log_group" "far" {\n  name = "far"\n  region = "eu-west-1"\n}\n'
    folder = world.folder("far", hcl)
    folder.apply()
    assert ":eu-west-1:" in folder.resources()["aws_cloudwatch_log_group.far"]["arn"]
    assert folder.plan_exit_code().exit_code == 0
    assert world.client("logs").describe_log_groups()["logGroups"] == []


def test_the_mirror_is_installed_by_init_and_started_by_terraform(world: World) -> None:
    config = write_mirror(world.root / "mirror of ours")
    folder = world.folder("mirrored", _vms(world.images()[0], 2, "mirrored"))
    folder.environment = {
        "TF_CLI_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": world.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    assert "Installing hashicorp/aws v6.25.0" in folder.succeed("init", "-no-color", "-input=false").output
    folder.apply()
    assert sorted(world.instances().values()) == ["mirrored-0", "mirrored-1"]
    folder.succeed("destroy", "-auto-approve")
    assert world.instances() == {}
