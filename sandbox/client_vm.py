"""One simulated client VM: boots, says how it is, waits for its user, takes the command, and follows it.

`sandbox.clients` runs one of these a running instance. It knows what the real VM knows, its own user data, and speaks to
the allocator as the real start-up script, client and reporter do. It never ends by itself.
"""

import base64
import gzip
import hashlib
import random
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from sandbox.options import BootSeconds

OK, UNAUTHORIZED = 200, 401
HEARTBEAT_S = 20.0
LOOK_S = 5.0  # between two looks for a newer command while in use
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 10.0
CALL_TIMEOUT_S = 30.0
# No limit on reading: the answer comes when somebody wants this VM, in a second or in a week.
HELD = httpx.Timeout(CALL_TIMEOUT_S, read=None)

ENVIRONMENT = re.compile(r"<<'LABLINK_ENV'\n(.*?)^LABLINK_ENV$", re.DOTALL | re.MULTILINE)


def read_user_data(encoded: str) -> dict[str, str]:
    """The KEY=VALUE lines that the start-up script writes down, from user data as EC2 gives them (base64 of gzip).

    Raises ValueError for what is not the user data of a LabLink VM.
    """
    try:
        script = gzip.decompress(base64.b64decode(encoded)).decode()
    except (OSError, EOFError) as error:
        raise ValueError(f"its user data are not gzip: {error}") from error
    block = ENVIRONMENT.search(script)
    if block is None:
        raise ValueError("its user data hold no LABLINK_ENV block")
    return dict(line.split("=", 1) for line in block[1].splitlines() if "=" in line)


@dataclass
class Disk:
    """What survives on the VM when the sandbox starts again."""

    boots: int = 0
    up: bool = False  # has booted and not been stopped since
    delivered: int = 0  # version of the command that was taken; 0: none
    key: str = ""  # proves the host when its token is renewed
    token: str = ""  # the renewed one; empty: the one of the user data


@dataclass
class Orders:
    """What the fault injector wants of this VM."""

    boot_never: bool = False
    gpu: str | None = None
    reclaim_at: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """What all VMs share."""

    http: httpx.AsyncClient
    url: str  # of the allocator now; a sandbox may start again on another port, a real one keeps its name
    boot: BootSeconds
    write_log: Callable[[str, str, str], None]  # group, stream, line
    chance: random.Random


@dataclass
class ClientVm:
    instance_id: str
    environment: Mapping[str, str]
    around: Surroundings
    disk: Disk
    orders: Orders = field(default_factory=Orders)
    in_use: bool = False
    _news: anyio.Event = field(default_factory=anyio.Event)
    _gpu_told: str | None = None

    @property
    def hostname(self) -> str:
        return self.environment["VM_NAME"]

    def notice(self, orders: Orders) -> None:
        """New orders of the fault injector hold from now on."""
        if orders != self.orders:
            self.orders = orders
            self._news.set()

    async def live(self) -> None:
        """Until cancelled: the instance was stopped or terminated, or shall hang."""
        self.disk.key = self.disk.key or secrets.token_hex(32)
        if not self.disk.up:
            await self._boot()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report)
            tasks.start_soon(self._serve_users)

    # -- boot ----------------------------------------------------------------------------------------------------------

    async def _boot(self) -> None:
        cloud_init_s, container_s = self._boot_parts()
        began_at = time.time()
        self._log("cloud-init: first boot" if self.disk.boots == 0 else "cloud-init: boot")
        await self._post("/api/vm-status", {"status": "initializing" if self.disk.boots == 0 else "rebooting"})
        await anyio.sleep(cloud_init_s)
        if self.orders.boot_never:
            self._log("kernel: the sandbox was asked to let this boot never end")
            await anyio.sleep_forever()
        container_at = time.time()
        self._log("docker: pulling the client image")
        await anyio.sleep(container_s)
        ended_at = time.time()
        self._log("docker: the client container runs")
        await self._post("/api/vm-status", {"status": "running"})
        await self._post(f"/api/vm-metrics/{self.hostname}", _times(began_at, container_at, ended_at))
        self.disk.boots += 1
        self.disk.up = True

    def _boot_parts(self) -> tuple[float, float]:
        """cloud-init (agents, drivers) and the container's pull; a boot that is not the first has neither to install."""
        total_s = self.around.chance.uniform(self.around.boot.shortest, self.around.boot.longest)
        if self.disk.boots:
            return total_s / 4, 0.0
        return total_s * 0.6, total_s * 0.4

    # -- reporter ------------------------------------------------------------------------------------------------------

    async def _report(self) -> None:
        """Heartbeats: one every twenty seconds, and at once when something changed."""
        with anyio.move_on_after(self.around.chance.uniform(0, 2)):  # a thousand VMs are not to speak in step
            await self._news.wait()
        while True:
            self._news = anyio.Event()
            await self._tell_gpu()
            await self._post(f"/api/v1/client/{self.hostname}/heartbeat", self._heartbeat())
            with anyio.move_on_after(HEARTBEAT_S):
                await self._news.wait()

    async def _tell_gpu(self) -> None:
        gpu = self.orders.gpu or ("Healthy" if self.environment.get("LABLINK_GPU") == "true" else "N/A")
        if gpu != self._gpu_told:
            await self._post("/api/gpu_health", {"gpu_status": gpu})
            self._gpu_told = gpu

    def _heartbeat(self) -> dict[str, Any]:
        near = self.around.chance.gauss
        busy = 60.0 if self.in_use else 3.0
        gauges = {"cpu_percent": near(busy, 2), "memory_percent": near(20 + busy / 2, 2), "disk_usage": near(41, 0.5)}
        if self._gpu_told == "Healthy":
            gauges |= {"gpu_utilization": near(busy, 5), "gpu_memory_used": near(80 * busy, 50)}
            gauges["gpu_temperature"] = near(35 + busy / 2, 1)
        return {
            "code_version_delivered": self.disk.delivered or None,
            "in_use": self.in_use,
            "boot_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.instance_id}/{self.disk.boots}")),
            "reclaim_at": self.orders.reclaim_at,
            "renewal_key": hashlib.sha256(self.disk.key.encode()).hexdigest(),
            "gauges": {name: round(max(value, 0.0), 1) for name, value in gauges.items()},
        }

    # -- users ---------------------------------------------------------------------------------------------------------

    async def _serve_users(self) -> None:
        """Holds `/vm_startup` while nobody has this VM; takes every newer command of whoever has it."""
        await self._use(self.disk.delivered > 0)
        while True:
            wanted = await self._read_wanted()
            if wanted and wanted <= self.disk.delivered:
                await anyio.sleep(LOOK_S)
                continue
            if not wanted and self.disk.delivered:
                self.disk.delivered = 0
                await self._use(False)
            await self._take_command(wanted)

    async def _take_command(self, wanted: int) -> None:
        """Take the command of version `wanted` or later; 0: wait for the first one of whoever comes."""
        answer = await self._hold()
        self._log("subscribe: received the Chrome Remote Desktop command")
        after = await self._read_wanted()
        # The command may have been replaced between the answer and this look: then the newer one is still to be taken.
        self.disk.delivered = after if after <= max(wanted, 1) else max(wanted, 1)
        self._log(f"subscribe: start-host ended well, PIN of {len(str(answer.get('pin', '')))} digits set")
        await self._use(True)

    async def _use(self, in_use: bool) -> None:
        self.in_use = in_use
        self._news.set()
        await self._post("/api/update_inuse_status", {"status": in_use})

    async def _read_wanted(self) -> int:
        """The version of the command that this VM is to have; 0 while nobody has it."""
        known = await self._call("GET", f"/api/v1/client/{self.hostname}", renews=True)
        return int(known["code_version"] or 0) if known.get("assigned") else 0

    async def _hold(self) -> dict[str, Any]:
        """Comes back with the answer, however often the connection is aborted meanwhile (which is how a hold ends)."""
        return await self._call("POST", "/vm_startup", {"hostname": self.hostname}, HELD, renews=True)

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        await self._call("POST", path, {"hostname": self.hostname, **body})

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout: httpx.Timeout | None = None,
        *,
        renews: bool = False,
    ) -> dict[str, Any]:
        """The decoded answer; again and again, with growing pauses, until the allocator gives one. `renews` a token that is refused."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                token = self.disk.token or self.environment["API_TOKEN"]
                response = await self.around.http.request(
                    method,
                    self.around.url + path,
                    json=body,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=timeout or CALL_TIMEOUT_S,
                )
                if renews and response.status_code == UNAUTHORIZED and await self._renew(token):
                    continue
                response.raise_for_status()
                return dict(response.json())
            except (httpx.HTTPError, ValueError) as error:
                self._log(f"allocator: {method} {path}: {error or type(error).__name__}")
            await anyio.sleep(pause_s * self.around.chance.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)

    async def _renew(self, refused: str) -> bool:
        """The next person's token, by the host's key; with it a new container and, where that is asked for, a reboot."""
        path = f"{self.around.url}/api/v1/client/{self.hostname}/renew"
        response = await self.around.http.post(path, json={"key": self.disk.key}, timeout=CALL_TIMEOUT_S)
        if response.status_code != OK:
            return False
        answer = response.json()
        if answer["token"] == refused:
            return False
        self.disk.token = answer["token"]
        self._log("docker: a new container for the next person")
        if answer["renewing"] == "reboot":
            await self._boot()
        self.disk.delivered = 0
        await self._use(False)
        return True

    def _log(self, line: str) -> None:
        self.around.write_log(self.environment["CLOUD_INIT_LOG_GROUP"], self.hostname, line)


def _times(began_at: float, container_at: float, ended_at: float) -> dict[str, float]:
    return {
        "cloud_init_start": began_at,
        "cloud_init_end": container_at,
        "cloud_init_duration_seconds": container_at - began_at,
        "container_start": container_at,
        "container_end": ended_at,
        "container_startup_duration_seconds": ended_at - container_at,
    }
