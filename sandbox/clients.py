"""The simulated client VMs: one asyncio task for each running instance that moto has and LabLink named.

`sandbox.up` runs a `Fleet` inside its own process. What a VM has on its disk is kept in `<data>/clients.json`, so that after
a restart of the sandbox the VMs that were up go on without a boot.
"""

import json
import random
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import structlog
from anyio.abc import TaskGroup
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.client_vm import ClientVm, Disk, Orders, Surroundings, read_user_data
from sandbox.cloud_logs import CloudLogs
from sandbox.folder import write_private
from sandbox.options import BootSeconds

log = structlog.get_logger()

LOOK_S = 1.0
READERS = 4  # user data read at once; moto answers one call at a time anyway
NAME_FILTERS = [
    {"Name": "key", "Values": ["lablink:hostname"]},
    {"Name": "resource-type", "Values": ["instance"]},
]


@dataclass(frozen=True, slots=True)
class FaultOrders:
    """What the fault injector wants of client VMs (`GET {fault_url}/faults`, key `client`). `*` stands for all."""

    hang: frozenset[str]  # instance ids
    boot_never: frozenset[str]  # host names
    gpu: dict[str, str]  # host name → health
    reclaim: dict[str, str]  # instance id → when AWS takes it back

    @classmethod
    def read(cls, client: dict[str, Any]) -> "FaultOrders":
        return cls(
            frozenset(client["hang"]), frozenset(client["boot_never"]), dict(client["gpu"]), dict(client["reclaim"])
        )

    def of(self, hostname: str, instance_id: str) -> Orders:
        never = bool({hostname, "*"} & self.boot_never)
        gpu = self.gpu.get(hostname, self.gpu.get("*"))
        return Orders(boot_never=never, gpu=gpu, reclaim_at=self.reclaim.get(instance_id))


class Fleet:
    """Keeps the running tasks equal to the running instances."""

    def __init__(self, around: Surroundings, ec2: Any, fault_url: str, kept: Path) -> None:
        self._around = around
        self._ec2 = ec2  # a boto3 client
        self._fault_url = fault_url
        self._kept = kept
        self._disks = _read_disks(kept)
        self._written = ""
        self._vms: dict[str, ClientVm] = {}
        self._lives: dict[str, anyio.CancelScope] = {}
        self._foreign: set[str] = set()  # instances that are not LabLink's, or whose user data make no sense
        self._faults = FaultOrders(frozenset(), frozenset(), {}, {})

    async def run(self) -> None:
        """Until cancelled. Trouble with moto changes nothing: VMs live on while nobody can see them."""
        async with anyio.create_task_group() as tasks:
            try:
                while True:
                    await self._look(tasks)
                    self._keep_disks()
                    await anyio.sleep(LOOK_S)
            finally:
                self._keep_disks()

    async def _look(self, tasks: TaskGroup) -> None:
        try:
            self._faults = await self._read_faults()
            running = await anyio.to_thread.run_sync(self._list_running)
            named = await anyio.to_thread.run_sync(self._name_new, running)
        except (BotoCoreError, ClientError, httpx.HTTPError, ValueError, KeyError) as error:
            log.warning("the instances cannot be seen", error=str(error))
            return
        self._end_missing(running)
        limiter = anyio.CapacityLimiter(READERS)
        async with anyio.create_task_group() as readers:
            for instance_id in named:
                readers.start_soon(self._power_on, instance_id, limiter)
        for instance_id in running & self._vms.keys():
            self._follow_faults(instance_id, tasks)

    # -- what moto has -------------------------------------------------------------------------------------------------

    async def _read_faults(self) -> FaultOrders:
        answer = await self._around.http.get(f"{self._fault_url}/faults")
        answer.raise_for_status()
        return FaultOrders.read(answer.json()["client"])

    def _list_running(self) -> frozenset[str]:
        """Not DescribeInstances: that one is the controller's, and faults are counted and told against its calls."""
        pages = self._ec2.get_paginator("describe_instance_status").paginate()
        return frozenset(status["InstanceId"] for page in pages for status in page["InstanceStatuses"])

    def _name_new(self, running: frozenset[str]) -> list[str]:
        """The running instances that LabLink named and that have no VM yet."""
        new = running - self._vms.keys() - self._foreign
        if not new:
            return []
        pages = self._ec2.get_paginator("describe_tags").paginate(Filters=NAME_FILTERS)
        named = {tag["ResourceId"] for page in pages for tag in page["Tags"]}
        self._foreign |= new - named
        return sorted(new & named)

    def _read_environment(self, instance_id: str) -> dict[str, str]:
        answer = self._ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return read_user_data(answer["UserData"].get("Value", ""))

    # -- power ---------------------------------------------------------------------------------------------------------

    async def _power_on(self, instance_id: str, limiter: anyio.CapacityLimiter) -> None:
        try:
            environment = await anyio.to_thread.run_sync(self._read_environment, instance_id, limiter=limiter)
            hostname = environment["VM_NAME"]
        except (BotoCoreError, ClientError) as error:
            log.warning("an instance cannot be read; trying again", instance=instance_id, error=str(error))
            return
        except (ValueError, KeyError) as error:
            log.warning("an instance cannot boot", instance=instance_id, error=str(error))
            self._foreign.add(instance_id)
            return
        disk = self._disks.setdefault(instance_id, Disk())
        self._vms[instance_id] = ClientVm(
            instance_id, environment, self._around, disk, self._faults.of(hostname, instance_id)
        )

    def _follow_faults(self, instance_id: str, tasks: TaskGroup) -> None:
        """A hanging VM falls silent; it comes back as it was when the fault ends."""
        vm = self._vms[instance_id]
        vm.notice(self._faults.of(vm.hostname, vm.instance_id))
        hangs = instance_id in self._faults.hang
        if hangs and instance_id in self._lives:
            self._lives.pop(instance_id).cancel()
        elif not hangs and instance_id not in self._lives:
            self._lives[instance_id] = scope = anyio.CancelScope()
            tasks.start_soon(self._live, vm, scope)

    async def _live(self, vm: ClientVm, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await vm.live()
            except Exception:
                log.exception("a simulated VM broke down; its instance runs on without it", hostname=vm.hostname)

    def _end_missing(self, running: frozenset[str]) -> None:
        """Stopped or terminated. A stopped one keeps its disk and boots when it runs again."""
        for instance_id in self._vms.keys() - running:
            del self._vms[instance_id]
            self._disks[instance_id].up = False
            if scope := self._lives.pop(instance_id, None):
                scope.cancel()

    # -- disks ---------------------------------------------------------------------------------------------------------

    def _keep_disks(self) -> None:
        content = json.dumps({name: asdict(disk) for name, disk in self._disks.items()})
        if content != self._written:
            with suppress(OSError):
                write_private(self._kept, content)
                self._written = content


def _read_disks(path: Path) -> dict[str, Disk]:
    """Nothing known (a first start, or a file cut off) means that every VM boots."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {name: Disk(**disk) for name, disk in json.loads(path.read_text()).items()}
    return {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the simulated VMs are: whose AWS, which allocator, what is kept where."""

    allocator_url: str
    fault_url: str
    kept: Path
    boot: BootSeconds


async def run_clients(place: Place, ec2: Any, logs: Any) -> None:
    """Run the VMs of all running instances until cancelled. `ec2` and `logs` are boto3 clients of the sandbox's AWS."""
    cloud_logs = CloudLogs(logs)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as http:
        around = Surroundings(http, place.allocator_url, place.boot, cloud_logs.write, random.Random())  # noqa: S311
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cloud_logs.run)
            tasks.start_soon(Fleet(around, ec2, place.fault_url, place.kept).run)
