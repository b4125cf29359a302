"""How long a rehearsal of a week takes for a pool of up to 50 VMs."""

from datetime import UTC, datetime

from bench.figure import Figure, figure_of, time_cpu_ms
from controller.simulate.plan import rehearse_plan
from schemas.lab import Lab
from schemas.simulation import Plan

LIMIT_MS = 5_000
REPEATS = 2
POOL = {"size": {"min": 5, "max": 50, "spare": 5}}


def measure_rehearsals() -> list[Figure]:
    """A hundred people a day, who stay for three hours."""
    lab = Lab.model_validate({"pools": {"client": POOL}})
    plan = Plan(start=datetime(2026, 12, 7, tzinfo=UTC), arrivals={"": 100}, stay_s=3 * 3600.0)
    report = rehearse_plan(lab, plan)
    took_ms = time_cpu_ms(lambda: rehearse_plan(lab, plan), REPEATS, warm_up=False)
    pool = report.pools[0]
    note = f"{pool.people} people, at most {pool.most} VMs, {report.ticks:,} ticks"
    return [figure_of("rehearse a week of a pool of 50", took_ms, LIMIT_MS, note=note)]
