"""How long `decide` takes by the number of VMs, and beside it the check of what was decided."""

import gc
from statistics import median

from bench.figure import Curve, Figure, figure_of, time_cpu_ms
from controller.decide.invariants import check_invariants
from controller.decide.pool import decide
from schemas.snapshot import Snapshot
from tests.decide_world import Situation, build_row, build_vm

PER_POOL = 50
LIMITS_MS = {1_000: 25, 10_000: 250, 100_000: 4_000}
REPEATS = {100: 20, 1_000: 20, 10_000: 7, 100_000: 3}
EXPONENT = 1.1


def build_fleet(count: int) -> Snapshot:
    """Pools of 50 ready VMs, as many as declared, but for one broken VM in each tenth pool."""
    names = [f"pool{n}" for n in range(count // PER_POOL)]
    situation = Situation(dict.fromkeys(names, PER_POOL))
    lab = situation.lab
    for i, name in enumerate(names):
        broken = int(i % 10 == 0)
        situation.vms += [
            build_vm(lab, build_row(name), n, "failed" if n <= broken else "ready") for n in range(1, PER_POOL + 1)
        ]
    return situation.snapshot()


def measure_decide() -> list[Figure | Curve]:
    gc.collect()
    gc.freeze()  # as the controller does at its start
    took_ms, checks_ms = {}, {}
    for count, repeats in REPEATS.items():
        took_ms[count], checks_ms[count] = _measure(count, repeats)
    curve = Curve("decide", "VMs", "ms", {count: median(times) for count, times in took_ms.items()})
    note = f"over {', '.join(f'{count:,}' for count in curve.points)} VMs"
    return [
        *(_tell(count, limit_ms, took_ms[count], checks_ms[count]) for count, limit_ms in LIMITS_MS.items()),
        Figure("exponent of decide", curve.exponent, EXPONENT, "", note=note),
        curve,
    ]


def _measure(count: int, repeats: int) -> tuple[list[float], float]:
    snapshot = build_fleet(count)
    decision = decide(snapshot)
    took_ms = time_cpu_ms(lambda: decide(snapshot), repeats)
    return took_ms, median(time_cpu_ms(lambda: check_invariants(snapshot, decision), min(repeats, 5)))


def _tell(count: int, limit_ms: float, took_ms: list[float], check_ms: float) -> Figure:
    note = f"{median(took_ms) / count * 1000:,.0f} µs a VM; to check it takes {check_ms:,.0f} ms more"
    return figure_of(f"decide for {count:,} VMs in {count // PER_POOL:,} pools", took_ms, limit_ms, note=note)
