"""A decision as plain lines that people read: `lablink preview`, and the recorded texts of the scenario tests. Pure."""

from collections.abc import Iterator

from schemas.decision import Decision, Judgement, Opening, PoolOutlook

from controller.decide.names import clock, counted
from controller.decide.work import describe

ALWAYS = frozenset({"Converged", "Ready"})
"""Conditions that are shown whatever they say; the others only when they are out of the ordinary."""


def render_decision(decision: Decision) -> str:
    """Pool by pool: figures, what is done, what is held back and why, each VM, and conditions; ends with a newline."""
    lines = [f"version {decision.version} at {clock(decision.now)}"]
    lines += [line for outlook in decision.pools.values() for line in _pool(decision, outlook)]
    homeless = [one for one in decision.judgements if one.pool is None]
    lines += ["", "without a pool", *_judged(homeless)] if homeless else []
    return "\n".join(lines) + "\n"


def _pool(decision: Decision, outlook: PoolOutlook) -> Iterator[str]:
    figures = f"{outlook.declared} declared, ceiling {outlook.ceiling}, {outlook.present} present"
    buckets = ", ".join(f"{number} {bucket}" for bucket, number in outlook.buckets.items())
    yield ""
    yield f"pool {outlook.name}: {figures}" + (f" ({buckets})" if buckets else "")
    yield from (f"  {describe(one)} because {one.reason}" for one in decision.actions if one.pool == outlook.name)
    yield from (f"  hold {one.what}: {one.reason}" for one in decision.held if one.pool == outlook.name)
    yield from (f"  {opening_line(one)}" for one in outlook.openings)
    if outlook.next_at:
        yield f"  next try at {clock(outlook.next_at)}"
    yield from _judged([one for one in decision.judgements if one.pool == outlook.name])
    for condition in outlook.conditions:
        if condition.type in ALWAYS or not condition.good:
            yield f"  {condition.type}={condition.status} {condition.reason}: {condition.message}"


def opening_line(one: Opening) -> str:
    """A line of the calendar."""
    words = "open" if one.is_open else "next"
    lead = f", made from {clock(one.grows_at)}" if one.grows_at < one.from_at else ""
    missing = f", {counted(one.missing, 'seat')} missing" if one.missing else ""
    return f"{words}: {one.name}: {one.size} from {clock(one.from_at)} to {clock(one.to_at)}{lead}{missing}"


def _judged(judgements: list[Judgement]) -> Iterator[str]:
    width = max((len(one.subject) for one in judgements), default=0)
    for one in judgements:
        yield f"  {one.subject:{width}}  {one.bucket:9}  {one.reason}"
