"""When somebody in line will have a VM, from how long VMs of the pool took to start. Pure: seconds in, seconds out.

A VM that is older than the typical start is judged by those that took even longer, so that "any moment now" is never
said of one that is late; of one that is older than all nothing is known.
"""

from collections.abc import Sequence
from math import ceil
from statistics import median

from store.line import Pace


def estimate_s(pace: Pace, position: int) -> int | None:
    """None while nothing tells: no VM of the pool was ever measured, or none is on its way for this place."""
    coming = sorted(left for age in pace.ages_s if (left := _left_s(pace.took_s, age)) is not None)
    if position <= len(coming):
        return ceil(coming[position - 1])
    if pace.batch is None or not pace.took_s or len(pace.ages_s) != len(coming):
        return None
    # After a failure a few are made at a time: each batch waits for Terraform to have made the one before.
    batches = ceil((position - len(coming)) / max(pace.batch, 1))
    return ceil(batches * median(pace.launches_s or pace.took_s) + median(pace.took_s))


def _left_s(took_s: Sequence[float], age_s: float) -> float | None:
    longer = [took for took in took_s if took > age_s]
    return median(longer) - age_s if longer else None
