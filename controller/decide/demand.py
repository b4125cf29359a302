"""How many VMs a pool should have now, and how many at most: the declared number, or what people ask for. Pure.

Called by `survey` for each pool; steps read the answer as `view.want`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.lab import Demand, Pool
from schemas.pool import Asked
from schemas.vm import Bucket

from controller.decide.classify import Judged
from controller.decide.schedule import kept_since, scheduled_now

MINIMUM_AGE = timedelta(minutes=15)
"""A VM younger than this is not ended because demand fell: it may rise again, and a start costs minutes."""


@dataclass(frozen=True, slots=True)
class Want:
    """`size` VMs should be there now; `most` may be, replacements aside. `why` says where the size comes from.

    An `elastic` size is a guess from what people ask for: above it, VMs up to `most` are ended with patience only.
    """

    size: int = 0
    most: int = 0
    words: str = "0 declared"
    why: str = "0 declared"
    elastic: bool = False
    kept_since: datetime | None = None  # VMs made before this stay above the size: a window that ended said so


def want_of(pool: Pool | None, vms: Sequence[Judged], asked: Asked, now: datetime) -> Want:
    """A pool that is not declared any more wants nothing."""
    if pool is None:
        return Want()
    if not pool.schedule:
        return _own_size(pool, vms, asked)
    scheduled = scheduled_now(pool, now)
    if scheduled is None:
        return replace(_own_size(pool, vms, asked), kept_since=kept_since(pool, now))
    size = scheduled.window.size
    return Want(size, size, scheduled.words, scheduled.words)


def _own_size(pool: Pool, vms: Sequence[Judged], asked: Asked) -> Want:
    if isinstance(pool.size, Demand):
        return _follow(pool.size, vms, asked)
    return Want(pool.size, pool.size, f"{pool.size} declared", f"{pool.size} declared")


def _follow(demand: Demand, vms: Sequence[Judged], asked: Asked) -> Want:
    """Assigned + waiting + spare within `min` and `max`; a free VM that is cordoned is nobody's spare, so it counts as used."""
    in_use = sum(one.bucket is Bucket.ASSIGNED for one in vms)
    cordoned = sum(one.vm.cordoned and one.bucket in (Bucket.READY, Bucket.BOOTING, Bucket.OUTDATED) for one in vms)
    size = min(max(in_use + cordoned + asked.waiting + demand.spare, demand.min), demand.max)
    parts = ((in_use, "in use"), (cordoned, "cordoned"), (asked.waiting, "waiting"), (demand.spare, "spare"))
    told = ", ".join(f"{number} {word}" for number, word in parts if number) or "nobody asks"
    words = f"{size} wanted"
    return Want(size, demand.max, words, f"{words} of {demand.min} to {demand.max} ({told})", elastic=True)
