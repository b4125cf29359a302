"""One measured figure beside its limit or baseline, taken in the same run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` is in `unit`; with a `baseline` the limit bounds their ratio, else the value itself."""

    name: str
    value: float
    limit: float
    unit: str = "ms"
    baseline: float | None = None
    note: str = ""

    @property
    def judged(self) -> float:
        return self.value if self.baseline is None else self.value / self.baseline

    @property
    def holds(self) -> bool:
        return self.judged <= self.limit


def measure_cpu_ms(work: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` runs after one that warms up, in milliseconds of this process's CPU time.

    For work that neither waits nor has threads: what else the machine does meanwhile does not count.
    """
    work()
    return statistics.median(_time_ms(work) for _ in range(repeats))


def _time_ms(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000
