"""How long `decide` takes by the number of VMs, and beside it the check of what was decided."""

import gc

from bench.figure import Figure, measure_cpu_ms
from controller.decide.invariants import check_invariants
from controller.decide.pool import decide
from schemas.snapshot import Snapshot
from tests.decide_world import Situation, build_row, build_vm

PER_POOL = 50
LIMITS_MS = {1_000: 25, 10_000: 250, 100_000: 4_000}
REPEATS = {1_000: 20, 10_000: 7, 100_000: 2}


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


def measure_decide() -> list[Figure]:
    gc.collect()
    gc.freeze()  # as the controller does at its start
    return [_measure(count, limit_ms) for count, limit_ms in LIMITS_MS.items()]


def _measure(count: int, limit_ms: float) -> Figure:
    snapshot = build_fleet(count)
    decision, repeats = decide(snapshot), REPEATS[count]
    took_ms = measure_cpu_ms(lambda: decide(snapshot), repeats)
    check_ms = measure_cpu_ms(lambda: check_invariants(snapshot, decision), repeats)
    note = f"{took_ms / count * 1000:,.0f} µs a VM; to check it takes {check_ms:,.0f} ms more"
    return Figure(f"decide for {count:,} VMs in {count // PER_POOL:,} pools", took_ms, limit_ms, note=note)
