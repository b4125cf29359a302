"""What the bench makes of its measurements: exponents, spreads, and what counts as slower."""

from typing import Any

import pytest

from bench.comparing import compare
from bench.figure import Curve, Figure, figure_of, fit_exponent


def run_of(judged: float, other: str, spread: float = 0.0) -> dict[str, Any]:
    """A run with a row that all have, and another one."""
    row = {"name": "a row", "unit": "ms", "baseline": None, "judged": judged, "spread": spread}
    return {"figures": [row | {"name": other}, row]}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power_is_found(power: float) -> None:
    points = {n: 3 * n**power for n in (10, 100, 1_000, 10_000)}
    assert Curve("a cost", "VMs", "ms", points).exponent == pytest.approx(power)


def test_exponent_is_of_the_line_that_lies_nearest_to_all_points() -> None:
    assert fit_exponent({1: 1, 10: 20, 100: 100, 1_000: 2_000}) == pytest.approx(1.06, abs=0.01)


def test_figure_is_the_median_beside_the_median_of_its_baseline() -> None:
    figure = figure_of("a row", [10, 12, 40], 1.5, baselines=[8, 9, 8])
    assert (figure.value, figure.baseline, figure.judged, figure.repeats) == (12, 8, 1.5, 3)
    assert figure.holds
    assert figure.spread == pytest.approx((26 - 11) / 12)


def test_figure_without_a_baseline_is_judged_by_itself() -> None:
    assert not Figure("a row", 10, 9).holds


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(100, 109, ""), (100, 115, "WORSE"), (100, 80, "better"), (0, 0, ""), (0, 1, "WORSE")],
)
def test_only_rows_of_both_are_compared_and_noise_is_no_change(before: float, after: float, verdict: str) -> None:
    (change,) = compare(run_of(before, "an old row"), run_of(after, "a new row"))
    assert (change.name, change.verdict) == ("a row", verdict)


def test_what_varies_much_has_to_differ_more() -> None:
    (change,) = compare(run_of(100, "an old row", spread=0.2), run_of(125, "a new row", spread=0.1))
    assert change.verdict == ""
