"""A pool's VMs as one bar: its segments in the order of a VM's life, in percent of what is declared or there. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.vm import Bucket

ORDER = (
    Bucket.ASSIGNED,
    Bucket.READY,
    Bucket.BOOTING,
    Bucket.PLANNED,
    Bucket.OUTDATED,
    Bucket.RECLAIMED,
    Bucket.STOPPED,
    Bucket.ORPHAN,
    Bucket.DUPLICATE,
    Bucket.SILENT,
    Bucket.FAILED,
    Bucket.LOST,
    Bucket.DRAINING,
)
MISSING = "missing"


class Segment(NamedTuple):
    """`start` and `width` in percent of the bar."""

    name: str
    number: int
    start: float
    width: float


def segments(buckets: Mapping[Bucket, int], declared: int) -> list[Segment]:
    """The buckets of a pool, and at the end what is declared and not there."""
    numbers = [(str(bucket), buckets[bucket]) for bucket in ORDER if buckets.get(bucket)]
    there = sum(number for _, number in numbers)
    if declared > there:
        numbers.append((MISSING, declared - there))
    whole = max(there, declared, 1)
    found, start = [], 0.0
    for name, number in numbers:
        width = 100 * number / whole
        found.append(Segment(name, number, round(start, 3), round(width, 3)))
        start += width
    return found
