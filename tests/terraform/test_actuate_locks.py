"""Local states: what a killed Terraform leaves of its lock holds nobody, and a live one's lock is respected."""

import fcntl
import json
from pathlib import Path

import pytest

from controller.errors import NeedsOperator
from tests.terraform.actuation_world import POOL, REGION, ActuationWorld

pytestmark = pytest.mark.anyio

INFO = {"ID": "theirs", "Operation": "OperationTypeApply", "Who": "someone@desk", "Version": "1.11.4", "Path": "x"}


@pytest.fixture
def backend() -> str:
    return "local"


async def make_one(world: ActuationWorld) -> Path:
    await world.plan_vms(1)
    await world.settle()
    return world.actuator.work_dir / "states" / "local" / POOL / REGION / "1"


async def test_the_note_of_a_dead_lock_holds_nobody(world: ActuationWorld, backend: str) -> None:
    folder = await make_one(world)
    (folder / ".terraform.tfstate.lock.info").write_text(json.dumps(INFO))
    await world.plan_vms(1)
    await world.settle()
    assert len(await world.running()) == 2
    assert not (folder / ".terraform.tfstate.lock.info").exists()


async def test_the_lock_of_a_live_process_needs_an_operator(world: ActuationWorld, backend: str) -> None:
    folder = await make_one(world)
    (folder / ".terraform.tfstate.lock.info").write_text(json.dumps(INFO))
    with (folder / "terraform.tfstate").open("r+b") as state:
        fcntl.lockf(state, fcntl.LOCK_EX)
        await world.plan_vms(1)
        with pytest.raises(NeedsOperator, match="force-unlock"):
            await world.actuate()
    assert len(await world.running()) == 1
    assert json.loads((folder / ".terraform.tfstate.lock.info").read_text()) == INFO
