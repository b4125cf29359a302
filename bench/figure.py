"""One measured figure beside its limit or baseline, taken in the same run, and how a cost grows with its cause."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` is in `unit`; with a `baseline` the limit bounds their ratio, else the value itself.

    `repeats`: how many measurements `value` is the median of. `spread`: half of them lie in a range as wide as this share of it.
    """

    name: str
    value: float
    limit: float
    unit: str = "ms"
    baseline: float | None = None
    note: str = ""
    repeats: int = 1
    spread: float = 0.0

    @property
    def judged(self) -> float:
        return self.value if self.baseline is None else self.value / self.baseline

    @property
    def holds(self) -> bool:
        return self.judged <= self.limit


def figure_of(
    name: str,
    values: Sequence[float],
    limit: float,
    unit: str = "ms",
    *,
    baselines: Sequence[float] = (),
    note: str = "",
) -> Figure:
    """The median of repeated measurements, beside the median of the baseline's that were taken in turn with them."""
    baseline = statistics.median(baselines) if baselines else None
    return Figure(name, statistics.median(values), limit, unit, baseline, note, len(values), measure_spread(values))


def measure_spread(values: Sequence[float]) -> float:
    """The distance of the quartiles as a share of the median."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return 0.0
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return (third - first) / middle


@dataclass(frozen=True)
class Curve:
    """What something costs by the number of `what`; `exponent` is of the power of it that fits best (1: it grows as its cause)."""

    name: str
    what: str
    unit: str
    points: Mapping[int, float]

    @property
    def exponent(self) -> float:
        return fit_exponent(self.points)


def fit_exponent(points: Mapping[int, float]) -> float:
    """Least squares of a straight line through the logarithms: its slope."""
    xs, ys = [math.log(x) for x in points], [math.log(y) for y in points.values()]
    return statistics.linear_regression(xs, ys).slope


def time_cpu_ms(work: Callable[[], object], repeats: int, *, warm_up: bool = True) -> list[float]:
    """Each of `repeats` runs, in milliseconds of this process's CPU time.

    For work that neither waits nor has threads: what else the machine does meanwhile does not count.
    """
    if warm_up:
        work()
    return [_time_ms(work) for _ in range(repeats)]


def _time_ms(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000
