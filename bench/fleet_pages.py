"""What a look at a large fleet costs: a page of 1,000 VMs with their judgements, and the status, from a real API process."""

import asyncio

from bench.allocator import Allocator, running_allocator
from bench.figure import Curve, Figure, figure_of
from bench.load import render_call, send_all

PATHS = {"a page of 1,000 VMs": "/api/v1/vms?limit=1000", "the status": "/api/v1/status"}
FLEETS = (1_000, 5_000)
GROWTH = (10, 100, 1_000, 10_000)
LIMIT_MS = 150.0
CALLS = 40


def measure_pages() -> list[Figure | Curve]:
    figures: list[Figure | Curve] = []
    points: dict[str, dict[int, float]] = {name: {} for name in PATHS}
    for count in sorted({*FLEETS, *GROWTH}):
        with running_allocator(count) as allocator:
            for name, path in PATHS.items():
                figure = _measure(allocator, name, path, count)
                figures += [figure] if count in FLEETS else []
                points[name] |= {count: figure.value} if count in GROWTH else {}
    return [*figures, Curve("the status", "VMs", "ms", points["the status"])]


def _measure(allocator: Allocator, name: str, path: str, count: int) -> Figure:
    """One call after the other; the first that finds the view too old looks anew, and the note says what that took."""
    call = render_call("GET", path, allocator.admin)
    outcome = asyncio.run(send_all(allocator.port, [call] * CALLS, in_flight=1))
    assert set(outcome.statuses) == {200}, outcome.statuses
    took_ms = [1000 * took for took in outcome.took_s]
    note = f"slowest {max(took_ms):,.0f} ms, of {len(outcome.last_body) / 1024:,.0f} KiB"
    return figure_of(f"{name}, {count:,} VMs", took_ms, LIMIT_MS, note=note)
