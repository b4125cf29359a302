"""Terraform's states are lost, or the key that opens them; the record is not. As deploy/RUNBOOK.md has it: all is found again, nothing ends."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from pydantic import SecretStr

from controller.actuator import open_actuator
from sandbox.aws import RunningAws
from sandbox.aws_provider.serve import ReattachServer
from schemas.vm import Phase
from store.sealed import forget_lost
from store.secret import Cipher, read_secret, ssh_key_name
from tests.terraform.actuation_world import POOL, QUICK, REGION, ActuationWorld, cloud_environment, make_settings

pytestmark = pytest.mark.anyio

OTHER = bytes(32)


@pytest.fixture
async def anew(
    world: ActuationWorld, dsn: str, aws: RunningAws, provider: ReattachServer, tmp_path: Path
) -> AsyncIterator[ActuationWorld]:
    """The same world after a start with another encryption key."""
    key = SecretStr(base64.b64encode(OTHER).decode())
    settings = make_settings(dsn, tmp_path / "anew").model_copy(update={"encryption_key": key})
    environment = cloud_environment(aws, provider)
    async with open_actuator(world.db, world.actuator.lease, settings, world.actuator.ec2, environment) as actuator:
        yield replace(world, actuator=replace(actuator, terraform=replace(actuator.terraform, pace=QUICK)))


async def read_ids(world: ActuationWorld) -> dict[str, str | None]:
    return {vm.hostname: vm.instance_id for vm in await world.vms()}


async def forget_pauses(world: ActuationWorld) -> None:
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome <> 'succeeded'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")


def read_key_pair(world: ActuationWorld) -> dict[str, Any]:
    make: Any = boto3.client
    ec2 = make(
        "ec2", region_name=REGION, endpoint_url=world.aws.url, aws_access_key_id="test", aws_secret_access_key="test"
    )
    name = f"{world.lab.deployment}-{POOL}-dev"
    return dict(ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"][0])


async def test_lost_states_are_imported_again_by_themselves(world: ActuationWorld) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    ids = await read_ids(world)
    await world.write("DELETE FROM tf_state")
    names += await world.plan_vms(1)
    await world.settle()
    await forget_pauses(world)
    await world.settle()
    assert await world.running() == names
    assert (await read_ids(world)).items() >= ids.items()
    assert all(vm.in_state for vm in await world.vms())


async def test_a_lost_encryption_key_costs_no_vm_and_new_ones_take_a_new_ssh_key(
    world: ActuationWorld, anew: ActuationWorld, dsn: str
) -> None:
    names = await world.plan_vms(2)
    await world.settle()
    ids, pair, runs = await read_ids(world), read_key_pair(world), len(await world.runs())
    key = ssh_key_name(POOL, REGION)
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert forget_lost(conn, Cipher(OTHER)) == [key, f"{POOL}/{REGION}/1", f"{POOL}/{REGION}/base"]
        assert forget_lost(conn, Cipher(OTHER)) == []
    anew.names = world.names
    names += await anew.plan_vms(1)
    await anew.settle()
    assert await anew.running() == names
    assert (await read_ids(anew)).items() >= ids.items()
    assert all(vm.in_state for vm in await anew.vms())
    assert sum(run["creates"] for run in (await anew.runs())[runs:] if run["state_key"].endswith("/1")) == 1
    renewed = read_key_pair(anew)
    assert renewed["PublicKey"].split()[:2] != pair["PublicKey"].split()[:2]
    assert renewed["Tags"] == pair["Tags"]
    async with anew.db.connection() as conn:
        assert await read_secret(conn, Cipher(OTHER), key)


async def test_a_row_that_was_over_before_its_state_was_read_is_forgotten_by_terraform_too(
    world: ActuationWorld,
) -> None:
    gone, stays = await world.plan_vms(2)
    await world.settle()
    await world.write(f"UPDATE vm SET phase = 'gone', in_state = false, ended_at = now() WHERE hostname = '{gone}'")
    (new,) = await world.plan_vms(1)
    await world.settle()  # the plan would delete what nobody decided: it is refused, and the state read
    await forget_pauses(world)
    await world.settle()
    assert await world.running() == [stays, new]
    assert {vm.hostname: vm.phase for vm in await world.vms()}[gone] is Phase.LOST
