"""Thousands of held `POST /vm_startup` calls in one process, as bare sockets that note when they were told their person."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import render_call, send_all

AT_ONCE = 200  # opened together; a fleet that boots does not come in one packet either


def read_memory_kb(pid: int) -> float:
    """Memory of a process that is its own (its share of what is shared is counted in part), of Linux's smaps_rollup."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise ValueError(f"no figure for process {pid}")


@dataclass
class WaitingVms:
    """`told` maps host names to the moment (perf_counter) and the answer; `lost` are calls that ended without one."""

    port: int
    told: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, calls: Mapping[str, bytes]) -> None:
        """Holds these calls, by host name; returns when each has its headers."""
        loop, names = asyncio.get_running_loop(), list(calls)
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            await asyncio.gather(
                *(loop.create_connection(lambda n=n: _Call(self, n, calls[n]), "127.0.0.1", self.port) for n in some)  # type: ignore[misc]
            )
            await self.until(lambda some=some: self.held | self.lost >= set(some))  # type: ignore[misc]

    async def until(self, holds: Callable[[], bool], patience_s: float = 120.0) -> None:
        """Until something is true of these calls."""
        async with asyncio.timeout(patience_s):
            while not holds():
                self.news.clear()
                await self.news.wait()


class _Call(asyncio.Protocol):
    def __init__(self, vms: WaitingVms, name: str, call: bytes) -> None:
        self._vms, self._name, self._call, self._got = vms, name, call, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._call)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._got += data
        if b'"success"' in self._got:
            self._vms.told[self._name] = (now, self._got)
            self._transport.close()
        elif self._got.startswith(b"HTTP/1.1 200"):
            self._vms.held.add(self._name)
        self._vms.news.set()

    def connection_lost(self, _: Exception | None) -> None:
        if self._name not in self._vms.told:
            self._vms.lost.add(self._name)
        self._vms.news.set()


def render_poll(headers: Mapping[str, str], name: str) -> bytes:
    return render_call("POST", "/vm_startup", headers, {"hostname": name})


async def until_free(port: int, count: int) -> None:
    """Until as many VMs can be given to people: those that ask are freed in the background."""
    wanted, body = b'"count":%d' % count, b""
    while wanted not in body.replace(b" ", b""):
        body = (await send_all(port, [render_call("GET", "/api/unassigned_vms_count", {})], 1)).last_body
        await asyncio.sleep(0.2)
