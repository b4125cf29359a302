"""Working copies and `terraform init`: once a module, again when what it made is gone, and with an installed provider, too."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from controller.workspace import prepare_workspace, prune_workspaces
from sandbox.aws_provider.mirror import write_mirror
from tests.terraform.actuation_world import ROOT, ActuationWorld

pytestmark = pytest.mark.anyio


async def test_an_installed_provider_is_initialised_once_for_all_shards(world: ActuationWorld, tmp_path: Path) -> None:
    """As with the registry: the provider is a program that Terraform starts, and a lock file pins it."""
    world.leave_shared_templates()
    environment = {k: v for k, v in world.actuator.terraform.environment.items() if k != "TF_REATTACH_PROVIDERS"}
    environment["TF_CLI_CONFIG_FILE"] = str(write_mirror(tmp_path / "mirror"))
    world.actuator = replace(world.actuator, terraform=replace(world.actuator.terraform, environment=environment))
    names = await world.plan_vms(1, shard=1) + await world.plan_vms(1, shard=2)
    await world.settle()
    assert await world.running() == sorted(names)
    outputs = [run["output"] for run in await world.runs()]
    assert len(outputs) == 3
    assert sum("Installing hashicorp/aws" in output for output in outputs) == 2  # base and shards

    for folder in world.actuator.work_dir.rglob(".terraform/providers"):
        shutil.rmtree(folder)
    more = await world.plan_vms(1, shard=1)
    await world.actuate()
    assert (await world.runs())[-1]["outcome"] == "failed"
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome = 'failed'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")
    await world.settle()
    assert await world.running() == sorted(names + more)


def test_a_working_copy_follows_its_module(tmp_path: Path) -> None:
    module = tmp_path / "vms"
    shutil.copytree(ROOT / "terraform" / "vms", module)
    (module / "old.tf").write_text("")
    first = prepare_workspace(tmp_path / "work", module, "local", "a/b/1")
    first.mark_initialised()
    (module / "old.tf").unlink()
    (module / "new.tf").write_text("locals {}\n")
    second = prepare_workspace(tmp_path / "work", module, "local", "a/b/1")
    assert first.folder == second.folder
    assert (second.folder / "new.tf").read_text() == "locals {}\n"
    assert not (second.folder / "old.tf").exists()
    assert (first.initialised, second.initialised) == (True, False)
    assert prepare_workspace(tmp_path / "work", module, "local", "a/b/2").template == second.template


def test_variables_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    workspace = prepare_workspace(tmp_path / "work", ROOT / "terraform" / "vms", "database", "a/b/1")
    workspace.write_variables("{}")
    assert workspace.variables.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700
    workspace.clean()
    assert not workspace.variables.exists()


def test_working_copies_of_a_region_go_when_no_state_there_holds_anything(tmp_path: Path) -> None:
    module, states = ROOT / "terraform" / "vms", tmp_path / "states" / "local"
    for key in ("client/eu-west-1/1", "client/eu-west-1/base", "client/us-west-2/1", "other/eu-west-1/1"):
        prepare_workspace(tmp_path, module, "local", key)
    state = states / "client/eu-west-1/1/terraform.tfstate"
    state.write_text('{"version": 4, "serial": 9, "resources": [{"type": "aws_instance"}]}')
    prune_workspaces(tmp_path, "client", {"us-west-2"})
    assert state.exists()
    state.write_text('{"version": 4, "serial": 10, "resources": []}')
    prune_workspaces(tmp_path, "client", {"us-west-2"})
    assert sorted(str(one.relative_to(states)) for one in states.glob("*/*")) == ["client/us-west-2", "other/eu-west-1"]
    prune_workspaces(tmp_path, "client", frozenset())
    assert not (states / "client").exists()
