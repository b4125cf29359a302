"""Held calls of waiting VMs: what one costs in memory beside a bare ASGI application, and how soon a person wakes one of thousands."""

import asyncio
import gc
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from statistics import median, quantiles

from api.open_files import allow_many_files
from bench.allocator import Allocator, running_allocator
from bench.figure import Curve, Figure, figure_of
from bench.load import render_call
from bench.waiting_vms import WaitingVms, read_memory_kb, render_poll, until_free
from tests.api.world import COMMAND

VMS, MOST = 5_000, 10_000
USERS = 300
FEW, MORE, FEW_USERS = 100, 1_000, 50  # for the curves
MEMORY_RATIO, MEMORY_KB = 2.5, 25
WAKE_P50_MS, WAKE_P99_MS = 4, 12
JSON = {"Accept": "application/json"}


def render_request(n: int) -> bytes:
    """The request of person number `n`."""
    body = {"email": f"user{n}@example.org", "crd_command": COMMAND.format(code=f"code{n}")}
    return render_call("POST", "/api/request_vm", JSON, body)


def measure_holding() -> list[Figure | Curve]:
    allow_many_files()
    bare_kb = asyncio.run(_measure_bare())
    with running_allocator(MOST + USERS + 2 * FEW_USERS) as allocator:
        return asyncio.run(_measure_ours(allocator, bare_kb))


@contextmanager
def running_bare() -> Iterator[tuple[int, int]]:
    """Its process and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)])
    try:
        yield process.pid, port
    finally:
        process.kill()  # asked to end, it would wait for the calls that it holds
        process.wait()


async def _measure_bare() -> float:
    with running_bare() as (pid, port):
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        vms = WaitingVms(port)
        await vms.open({f"warm{n}": render_poll({}, str(n)) for n in range(100)})
        before = read_memory_kb(pid)
        await vms.open({str(n): render_poll({}, str(n)) for n in range(VMS)})
        return (read_memory_kb(pid) - before) / VMS


async def _measure_ours(allocator: Allocator, bare_kb: float) -> list[Figure | Curve]:
    vms = WaitingVms(allocator.port)
    calls = iter([(name, render_poll(allocator.vm(name), name)) for name in allocator.names])

    async def hold(count: int) -> None:
        """Until as many are held and can be given to people."""
        await vms.open(dict(islice(calls, count - _count_held(vms))))

    wakes_ms: dict[int, list[float]] = {}

    async def wake(users: int) -> None:
        waiting = _count_held(vms)
        await until_free(allocator.port, waiting)
        wakes_ms[waiting] = await _wake(allocator, vms, users)

    await hold(FEW)
    await wake(FEW_USERS)  # also warms up
    held, before = _count_held(vms), read_memory_kb(allocator.pid)
    grown_kb = {}
    for count, users in ((MORE, FEW_USERS), (VMS, USERS)):
        await hold(held + count)
        grown_kb[count] = read_memory_kb(allocator.pid) - before
        await wake(users)
    await hold(MOST)
    grown_kb[MOST - held] = read_memory_kb(allocator.pid) - before
    ours_kb, at_once, took_ms = grown_kb[VMS] / VMS, _count_held(vms), wakes_ms[held + VMS]
    return [
        Figure(f"memory of a held call, {VMS:,} of them, beside a bare one", ours_kb, MEMORY_RATIO, "KB", bare_kb),
        Figure("the same by itself", ours_kb, MEMORY_KB, "KB"),
        Figure(f"calls broken off of {MOST:,} held at once", MOST - at_once, 0, "calls", note=f"{at_once:,} are held"),
        figure_of(f"a request wakes one of {VMS:,} VMs, median", took_ms, WAKE_P50_MS),
        Figure(
            "the same, 99th of a hundred",
            quantiles(took_ms, n=100)[98],
            WAKE_P99_MS,
            note=f"{USERS} people, one after the other",
        ),
        Curve("a request wakes a VM", "VMs that wait", "ms", {n: median(took) for n, took in wakes_ms.items()}),
        Curve("memory of held calls", "VMs that wait", "MB", {n: kb / 1024 for n, kb in grown_kb.items()}),
    ]


def _count_held(vms: WaitingVms) -> int:
    return len(vms.held - vms.told.keys() - vms.lost)


async def _wake(allocator: Allocator, vms: WaitingVms, users: int) -> list[float]:
    """Milliseconds from each request to the moment at which its VM was told."""
    gc.freeze()  # thousands of connections of this client, which its own collector would walk through meanwhile
    reader, writer = await asyncio.open_connection("127.0.0.1", allocator.port)
    took_ms: list[float] = []
    for n in range(len(vms.told), len(vms.told) + users):
        begun, known = time.perf_counter(), len(vms.told)
        writer.write(render_request(n))
        await vms.until(lambda known=known: len(vms.told) > known)  # type: ignore[misc]
        at, _ = list(vms.told.values())[-1]
        took_ms.append((at - begun) * 1000)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    writer.close()
    return took_ms
