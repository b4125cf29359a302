"""The base of a pool: made once, found again after a killed first run, corrected in place, ended when nobody wants it."""

import pytest

from schemas.lab import Lab
from tests.terraform.actuation_world import POOL, ActuationWorld

pytestmark = pytest.mark.anyio


def with_ingress(lab: Lab, *networks: str) -> Lab:
    document = lab.model_dump(mode="json")
    document["pools"][POOL]["ssh"] = {"ingress": list(networks)}
    return Lab.model_validate(document)


async def outputs(world: ActuationWorld) -> dict[str, str]:
    (base,) = await world.read("SELECT outputs FROM base")
    return dict(base["outputs"])


async def test_a_base_whose_first_run_was_killed_is_found_and_imported(world: ActuationWorld) -> None:
    world.lab = with_ingress(world.lab, "192.0.2.0/24")
    await world.settle()
    made = await outputs(world)
    assert made, await world.runs()
    # A killed first run: everything is there, and the state was never saved.
    await world.write("DELETE FROM tf_state")
    await world.write("UPDATE base SET applied_hash = NULL, outputs = '{}'")
    await world.settle()
    assert await outputs(world) == made
    last = (await world.runs())[-1]
    assert (last["outcome"], last["imports"]) == ("succeeded", 8)


async def test_a_base_that_was_made_in_part_is_completed(world: ActuationWorld) -> None:
    world.fault(on="CreateInstanceProfile", error="UnauthorizedOperation", times=4)
    await world.actuate()
    assert (await world.runs())[-1]["outcome"] == "failed"
    await world.write("DELETE FROM tf_state")
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour'")
    world.end_faults()
    names = await world.plan_vms(1)
    await world.settle()
    assert await world.running() == names


async def test_a_changed_network_changes_its_rules_alone(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    world.lab = with_ingress(world.lab, "192.0.2.0/24")
    await world.settle()
    before, runs = await outputs(world), len(await world.runs())
    world.lab = with_ingress(world.lab, "198.51.100.0/24")
    await world.settle()
    assert await outputs(world) == before
    assert [run["state_key"] for run in (await world.runs())[runs:]] == [f"{POOL}/us-west-2/base"]
    assert await world.running() == names
    name = f"{world.lab.deployment}-{POOL}-dev"
    found = (await world.actuator.ec2.find_base("us-west-2", name, f"{name}-us-west-2")).parts
    assert [key for key in sorted(found) if key.startswith("ingress")] == ["ingress:198.51.100.0/24"]


async def test_a_base_that_nobody_wants_ends(world: ActuationWorld, backend: str) -> None:
    await world.actuate()
    name = f"{world.lab.deployment}-{POOL}-dev"
    assert "role" in (await world.actuator.ec2.find_base("us-west-2", name, f"{name}-us-west-2")).parts
    await world.write("UPDATE base SET wanted = false")
    await world.settle()
    assert await world.read("SELECT * FROM base") == []
    assert list(world.actuator.work_dir.glob("states/*/*")) == []
    assert await world.read("SELECT * FROM tf_state") == []
    assert await world.read("SELECT * FROM secret") == []
    assert (await world.actuator.ec2.find_base("us-west-2", name, f"{name}-us-west-2")).parts == {}
