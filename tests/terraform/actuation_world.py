"""A pool and all that brings it into being: real PostgreSQL, the real terraform, moto behind the provider stand-in."""

import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio

from controller.actuate import Outcome, actuate_once
from controller.actuator import Actuator, open_actuator
from controller.ec2 import Ec2
from controller.terraform import Pace
from sandbox.aws import RunningAws
from sandbox.aws_provider.serve import ReattachServer
from schemas.decision import CreateVm, EndVm, RecordInstance
from schemas.document import parse_lab
from schemas.lab import Lab
from schemas.settings import Settings
from schemas.snapshot import Listing
from schemas.spec import VmSpec
from schemas.vm import Instance, Phase, Vm
from store import actuation, fleet
from store.db import Db, fetch, open_db, transaction
from store.deployment import pin_account, read_deployment
from store.instance import merge_listing
from store.lease import Lease, take_lease
from store.pool import declare_pool

REGION = "us-west-2"
POOL = "client"
ROOT = Path(__file__).resolve().parents[2]
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="  # 32 bytes that protect nothing
QUICK = Pace(ttl_s=5.0, renew_s=0.5, grace_s=1.0, progress_s=0.1, margin_s=0.5, lock_s=0)
PATIENT = replace(QUICK, ttl_s=Pace().ttl_s)  # nothing but what is tested ends a run on a busy machine
SPEC = VmSpec(
    ami="ami-0601752c11b394251", instance_type="t3.large", region=REGION, volume_size=50, volume_type="gp3",
    image="example.org/client:1", gpu=False, generation=1, startup_script="echo hello\n",
)  # fmt: skip
TEXT = """
deployment: {name}
region: us-west-2
state: {{backend: {backend}}}
pools:
  client: {{size: 3, instance_type: t3.large, ami: ami-0601752c11b394251}}
"""


@dataclass
class ActuationWorld:
    db: Db
    actuator: Actuator
    lab: Lab
    aws: RunningAws
    listings: dict[str, Listing] = field(default_factory=dict)
    names: int = 0

    async def plan_vms(self, number: int, shard: int = 1, **spec: Any) -> list[str]:
        """New planned rows, as a decision commits them."""
        first, self.names = self.names + 1, self.names + number
        names = [f"{self.lab.deployment}-{POOL}-dev-{n}" for n in range(first, self.names + 1)]
        made_of = SPEC.model_copy(update=spec)
        creates = [
            CreateVm(
                pool=POOL, hostname=name, number=int(name.rsplit("-", 1)[1]), shard=shard, spec=made_of, spec_hash="v1:a",
                reason="wanted",
            )
            for name in names
        ]  # fmt: skip
        async with transaction(self.db) as conn:
            await fleet.create_vms(conn, creates)
        return names

    async def drain(self, *names: str) -> None:
        vms = {vm.hostname: vm for vm in await self.vms()}
        ends = [EndVm(pool=POOL, hostname=name, version=vms[name].version, reason="not wanted") for name in names]
        async with transaction(self.db) as conn:
            assert sorted(await fleet.end_vms(conn, ends)) == sorted(names)

    async def actuate(self) -> Outcome:
        return await actuate_once(self.actuator, self.lab, POOL, self.listings)

    async def settle(self, rounds: int = 8) -> Outcome:
        """Rounds with a listing before each, until nothing is left to do."""
        for _ in range(rounds):
            await self.look()
            outcome = await self.actuate()
            if not outcome.more_work and outcome.retry_after_s is None:
                break
        return outcome

    async def settle_after_kill(self, deadline_s: float = 60.0) -> None:
        """Rounds until every row is live and in its state; what a listing shows of a row without instance is recorded."""
        with anyio.fail_after(deadline_s):
            while not all(vm.phase is Phase.LIVE and vm.in_state for vm in await self.vms()):
                await self.recognise()
                await self.actuate()
                await anyio.sleep(0.1)

    async def recognise(self) -> None:
        """A listing, and the decision that follows from it: an instance that carries the name of a row is the row's."""
        ids = {i.hostname: i.instance_id for i in await self.look() if i.exists}
        records = [
            RecordInstance(
                pool=POOL, hostname=vm.hostname, version=vm.version, instance_id=ids[vm.hostname], reason="seen"
            )
            for vm in await self.vms()
            if vm.instance_id is None and vm.hostname in ids
        ]
        async with transaction(self.db) as conn:
            await fleet.record_instances(conn, records)

    async def look(self) -> tuple[Instance, ...]:
        """A whole listing, merged into the record."""
        async with self.db.connection() as conn:
            deployment = await read_deployment(conn)
        taken_at = deployment.read_at
        seen = await self.actuator.ec2.list_instances(REGION, deployment.id)
        async with transaction(self.db) as conn:
            await merge_listing(conn, REGION, taken_at, seen)
        self.listings[REGION] = Listing(region=REGION, taken_at=taken_at)
        return seen

    async def running(self) -> list[str]:
        """Host names of instances that cost money; a name twice is two instances."""
        alive = [i for i in await self.look() if i.state not in ("terminated", "shutting-down")]
        return sorted(i.hostname or i.instance_id for i in alive)

    async def vms(self) -> tuple[Vm, ...]:
        async with self.db.connection() as conn:
            pool = await actuation.read_pool(conn, POOL)
        assert pool is not None
        return pool.vms

    async def vm(self, name: str) -> Vm:
        return next(vm for vm in await self.vms() if vm.hostname == name)

    async def read(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        async with self.db.connection() as conn:
            return await fetch(conn, sql, params)

    async def write(self, sql: str, *params: Any) -> None:
        async with self.db.connection() as conn:
            await conn.execute(sql, params)

    async def runs(self) -> list[dict[str, Any]]:
        return await self.read("SELECT * FROM run ORDER BY id")

    async def events(self, reason: str) -> list[dict[str, Any]]:
        return await self.read("SELECT * FROM event WHERE reason = %s ORDER BY id", reason)

    async def condition(self, kind: str) -> Mapping[str, Any]:
        rows = await self.read("SELECT conditions FROM pool WHERE name = %s", POOL)
        return dict(rows[0]["conditions"].get(kind, {"status": False}))

    def with_lease(self, lease: Lease) -> "ActuationWorld":
        """The same world as another controller sees it."""
        return replace(self, actuator=replace(self.actuator, lease=lease))

    def fault(self, **content: Any) -> None:
        body = json.dumps(content).encode()
        request = Request(f"{self.aws.fault_url}/faults", body, {"Content-Type": "application/json"}, method="POST")
        urlopen(request, timeout=10).close()

    def end_faults(self) -> None:
        urlopen(Request(f"{self.aws.fault_url}/faults", method="DELETE"), timeout=10).close()

    def kill_terraform(self) -> None:
        """kill -9 of the Terraform that works for this world, if one does."""
        if pid := find_terraform(self.actuator.work_dir):
            os.kill(pid, signal.SIGKILL)

    def leave_shared_templates(self) -> None:
        """Before anything has run: this world initialises its modules itself, in its own work folder."""
        (self.actuator.work_dir / "modules").unlink()

    def leftovers(self) -> list[Path]:
        """Files below the work folder that would hold tokens."""
        words = ("tfvars", "tfplan", "errored")
        return [path for path in self.actuator.work_dir.rglob("*") if any(word in path.name for word in words)]


def find_terraform(folder: Path) -> int | None:
    """The pid of the terraform that applies below a folder; its guard is a Python."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            applies = entry.name.isdigit() and b"apply" in (entry / "cmdline").read_bytes()
            below = applies and (entry / "cwd").resolve().is_relative_to(folder)
            if below and (entry / "exe").resolve().name.startswith(("terraform", "tofu")):
                return int(entry.name)
    return None


def cloud_environment(aws: RunningAws, provider: ReattachServer) -> dict[str, str]:
    """What a controller is told of where AWS is."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return own | keys | provider.environment | {"AWS_ENDPOINT_URL": aws.url}


def make_settings(dsn: str, work_dir: Path) -> Settings:
    return Settings(
        database_dsn=dsn, deployment_secret="secret", encryption_key=KEY, settle_s=0.0, work_dir=work_dir,
        modules_dir=ROOT / "terraform", allocator_url="http://127.0.0.1:5000",
    )  # fmt: skip


@asynccontextmanager
async def open_actuation(
    name: str, dsn: str, aws: RunningAws, provider: ReattachServer, where: tuple[Path, str, Path]
) -> AsyncIterator[ActuationWorld]:
    """A deployment of that name with an empty pool, and a controller that leads it; `where`: folder, backend, and the
    templates that earlier tests initialised."""
    folder, backend, templates = where
    (folder / "work").mkdir(mode=0o700)
    (folder / "work" / "modules").symlink_to(templates)
    lab = parse_lab(TEXT.format(name=name, backend=backend)).lab
    ec2 = Ec2(aws.url, "test", "test")
    account = await ec2.read_account_id()
    async with open_db(dsn, max_size=6) as db:
        async with transaction(db) as conn:
            # Test databases are copies of one template, and so would be deployments.
            await conn.execute("UPDATE deployment SET id = gen_random_uuid()")
            await declare_pool(conn, POOL, REGION, lab.pools[POOL].model_dump(mode="json"), "")
            await pin_account(conn, account)
        lease = await take_lease(db, "test", ttl_s=600)
        assert lease is not None
        settings = make_settings(dsn, folder / "work")
        async with open_actuator(db, lease, settings, ec2, cloud_environment(aws, provider)) as actuator:
            quick = replace(actuator, terraform=replace(actuator.terraform, pace=QUICK))
            yield ActuationWorld(db, quick, lab, aws)
