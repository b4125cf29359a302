"""What a look at a large fleet costs: a page of 1,000 VMs with their judgements, and the status, from a real API process."""

import asyncio
from statistics import median

from bench.allocator import Allocator, running_allocator
from bench.figure import Figure
from bench.load import render_call, send_all

PATHS = {"a page of 1,000 VMs": "/api/v1/vms?limit=1000", "the status": "/api/v1/status"}
FLEETS = (1_000, 5_000)
LIMIT_MS = 150.0
CALLS = 40


def measure_pages() -> list[Figure]:
    figures = []
    for count in FLEETS:
        with running_allocator(count) as allocator:
            figures += [_measure(allocator, name, path, count) for name, path in PATHS.items()]
    return figures


def _measure(allocator: Allocator, name: str, path: str, count: int) -> Figure:
    """One call after the other; the first that finds the view too old looks anew, and the note says what that took."""
    call = render_call("GET", path, allocator.admin)
    outcome = asyncio.run(send_all(allocator.port, [call] * CALLS, in_flight=1))
    assert set(outcome.statuses) == {200}, outcome.statuses
    took_ms = [1000 * took for took in outcome.took_s]
    note = f"slowest {max(took_ms):,.0f} ms, of {len(outcome.last_body) / 1024:,.0f} KiB"
    return Figure(f"{name}, {count:,} VMs", median(took_ms), LIMIT_MS, note=note)
