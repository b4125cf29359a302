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


def measure_ms(work: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` timings after one that warms up, in milliseconds."""
    work()
    return statistics.median(_time_ms(work) for _ in range(repeats))


def _time_ms(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000
