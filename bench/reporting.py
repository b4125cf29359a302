"""What VMs say of themselves and what is asked about them: telemetry posts a second, and the status of 5,000 VMs."""

import asyncio
import json
from statistics import median

from bench.allocator import Allocator, running_allocator
from bench.figure import Curve, Figure, figure_of
from bench.load import render_call, send_all

VMS = 5_000
POSTS, IN_FLIGHT = 20_000, 50
POST_US = 1e6 / 3_000
READS, TEN = 20, 10
STATUS_MS, STATUS_TEN_MS = 8, 40
WARM = 1_000
PARTS = 5
GROWTH = (10, 100, 1_000, 10_000)


def measure_reports() -> list[Figure | Curve]:
    with running_allocator(VMS) as allocator:
        figures = [_measure_posts(allocator), *_measure_statuses(allocator)]
    return [*figures, _measure_growth()]


def render_posts(allocator: Allocator, count: int) -> list[bytes]:
    """The kinds of post in turn, from one VM after the other; what they say changes with every seventh."""
    calls = []
    for n in range(count):
        name = allocator.names[n // 5 % len(allocator.names)]
        path, body = _posts(name, n // 5 // 7)[n % 5]
        calls.append(render_call("POST", path, allocator.vm(name), body))
    return calls


def _posts(name: str, n: int) -> list[tuple[str, dict[str, object]]]:
    gauges = {"cpu_percent": n % 100, "memory_percent": 40.5, "disk_usage": 41}
    return [
        ("/api/vm-status", {"hostname": name, "status": "running"}),
        ("/api/gpu_health", {"hostname": name, "gpu_status": "Healthy", "gpu_utilization": n % 100}),
        ("/api/update_inuse_status", {"hostname": name, "status": n % 2 == 0}),
        (f"/api/vm-metrics/{name}", {"cloud_init_start": 1e9, "cloud_init_end": 1e9 + n % 50, **gauges}),
        (f"/api/v1/client/{name}/heartbeat", {"in_use": n % 2 == 0, "boot_id": "b", "gauges": gauges}),
    ]


def _measure_posts(allocator: Allocator) -> Figure:
    calls = render_posts(allocator, WARM + POSTS)
    asyncio.run(send_all(allocator.port, calls[:WARM], IN_FLIGHT))
    each = POSTS // PARTS
    parts = [
        asyncio.run(send_all(allocator.port, calls[WARM + n * each : WARM + (n + 1) * each], IN_FLIGHT))
        for n in range(PARTS)
    ]
    refused = POSTS - sum(part.statuses[200] for part in parts)
    took_us = [part.seconds / each * 1e6 for part in parts]
    note = f"{1e6 / median(took_us):,.0f} a second, {refused} refused"
    name = f"a telemetry post, {IN_FLIGHT} in flight, {VMS:,} VMs"
    return figure_of(name, took_us, POST_US if not refused else 0, "µs", note=note)


def _measure_statuses(allocator: Allocator) -> list[Figure]:
    figures = []
    for in_flight, limit in ((1, STATUS_MS), (TEN, STATUS_TEN_MS)):
        calls = [render_call("GET", "/api/vm-status", allocator.admin)] * (READS * in_flight)
        outcome = asyncio.run(send_all(allocator.port, calls, in_flight))
        assert outcome.statuses == {200: len(calls)}, outcome.statuses
        assert json.loads(outcome.last_body).keys() == set(allocator.names)
        name = f"GET /api/vm-status of {VMS:,} VMs, {in_flight} at a time"
        figures.append(figure_of(name, [1000 * took for took in outcome.took_s], limit))
    return figures


def _measure_growth() -> Curve:
    points = {}
    for count in GROWTH:
        with running_allocator(count) as allocator:
            calls = [render_call("GET", "/api/vm-status", allocator.admin)] * READS
            points[count] = median(asyncio.run(send_all(allocator.port, calls, 1)).took_s) * 1000
    return Curve("GET /api/vm-status", "VMs", "ms", points)
