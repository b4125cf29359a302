"""A plot for terminals: one row of eighths of blocks a series, over the same time. Pure text."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lablink.output import local_time

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 72
SERIES = (("VMs", "present"), ("in use", "in_use"), ("free", "ready"), ("in line", "waiting"))


def plot_lines(title: str, samples: Sequence[dict[str, Any]]) -> list[str]:
    """How many VMs there were, used and free, and people in line; each row with its highest number."""
    if not samples:
        return []
    lines = [f"{title}, {local_time(samples[0]['at'])} to {local_time(samples[-1]['at'])}"]
    scale = max(1, *(sample["present"] for sample in samples))
    for label, field in SERIES:
        values = squeeze([sample[field] for sample in samples], WIDTH)
        top = max(values)
        lines.append(f"{label:>8} {draw(values, max(scale, top))} {top}")
    return lines


def squeeze(values: Sequence[int], width: int) -> list[int]:
    """At most `width` values, each the highest of its stretch: a peak never disappears."""
    if len(values) <= width:
        return list(values)
    edges = [len(values) * column // width for column in range(width + 1)]
    return [max(values[begin:end]) for begin, end in pairwise(edges)]


def draw(values: Sequence[int], top: int) -> str:
    """Whatever is above zero is seen."""
    return "".join(BLOCKS[0 if value <= 0 else max(1, round(value / top * 8))] for value in values)
