"""Holds the simulated AWS and Terraform to the real binary with moto: the same episodes, and the same rows, runs, states and events."""

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import anyio
import pytest

from schemas.document import parse_lab
from store.db import transaction
from store.deployment import pin_account
from store.lease import take_lease
from store.pool import declare_pool
from tests.simulation.clock import run_virtually
from tests.simulation.cloud import ACCOUNT, Cloud
from tests.simulation.controllers import Controllers
from tests.simulation.database import Database, SimDb, open_connections
from tests.simulation.ec2 import SimEc2
from tests.simulation.life import Databases
from tests.simulation.stage import Process, Stage
from tests.terraform.actuation_world import POOL, QUICK, REGION, TEXT, ActuationWorld
from tests.terraform.episodes import EPISODES, Episode

pytestmark = pytest.mark.anyio


@dataclass
class SimulatedWorld(ActuationWorld):
    """Speaks of faults as the sandbox does."""

    cloud: Cloud = field(kw_only=True)

    def fault(self, **content: Any) -> None:
        if "error" in content:
            codes = self.cloud.refusals.setdefault(content["where"]["InstanceType"], [])
            codes += [content["error"]] * content["times"]

    def end_faults(self) -> None:
        self.cloud.refusals.clear()
        self.cloud.terraform_killed = False

    def kill_terraform(self) -> None:
        self.cloud.terraform_killed = True


@pytest.fixture(scope="module")
def databases(postgres_server: str) -> Databases:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(Databases, postgres_server).result()


@pytest.fixture
def simulated(databases: Databases, episode: Episode) -> Mapping[str, Any]:
    """What the episode comes to in a simulated world; in a thread of its own, for here is a loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_live, databases, episode).result()


def _live(databases: Databases, episode: Episode) -> Mapping[str, Any]:
    name = f"contract_{episode.__name__}"
    with (
        databases.fresh(name) as dsn,
        open_connections(dsn) as (conns, listener),
        tempfile.TemporaryDirectory() as folder,
    ):
        base = Database(Stage(Random(1)), conns, listener)
        return run_virtually(partial(_simulate, base, Path(folder), episode))


async def _simulate(base: Database, folder: Path, episode: Episode) -> Mapping[str, Any]:
    cloud, process = Cloud(base.stage), Process("controller", base.stage)
    db, lab = SimDb(base, process).as_db(), parse_lab(TEXT.format(name="sim", backend="database")).lab
    async with transaction(db) as conn:
        await declare_pool(conn, POOL, REGION, lab.pools[POOL].model_dump(mode="json"), "")
        await pin_account(conn, ACCOUNT)
    lease = await take_lease(db, "test", ttl_s=6000)
    assert lease is not None
    async with anyio.create_task_group() as group:
        controllers = Controllers(base, cloud, group, folder)
        actuator = controllers.make_actuator(process, lease, SimEc2(cloud=cloud, process=process))
        quick = replace(actuator, settle_s=0.0, terraform=replace(actuator.terraform, pace=QUICK))
        outcome = dict(await episode(SimulatedWorld(db, quick, lab, cast("Any", None), cloud=cloud)))
        group.cancel_scope.cancel()
    return outcome


@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.__name__)
async def test_the_simulated_terraform_does_what_the_real_one_does(
    world: ActuationWorld, simulated: Mapping[str, Any], episode: Episode
) -> None:
    assert simulated == await episode(world)
