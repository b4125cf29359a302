"""What the month will cost if everything goes as declared: what was spent, and the declared sizes until the month ends. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lab import Lab, Pool
from schemas.snapshot import Snapshot

from controller.decide.budget import read_prices, tier_hours
from controller.decide.money import Kind, paid_for, price_of, rate_of
from controller.decide.prices import PriceList
from controller.decide.schedule import scheduled_now
from controller.decide.tier import tier_rate

STEP = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class PoolCost:
    """USD of one pool: per hour as it is now, of the month so far, and of the whole month as declared."""

    name: str
    vms: int
    hourly: float
    so_far: float
    forecast: float
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """All of a deployment's money; `tier` is the allocator's own part of the month."""

    pools: tuple[PoolCost, ...]
    tier_hourly: float
    tier_so_far: float
    tier_forecast: float

    @property
    def hourly(self) -> float:
        return self.tier_hourly + sum(pool.hourly for pool in self.pools)

    @property
    def so_far(self) -> float:
        return self.tier_so_far + sum(pool.so_far for pool in self.pools)

    @property
    def forecast(self) -> float:
        return self.tier_forecast + sum(pool.forecast for pool in self.pools)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """When the month of an instant (aware, UTC) began, and when it ends."""
    began = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return began, (began + timedelta(days=32)).replace(day=1)


def reckon(snapshot: Snapshot) -> Costs:
    """The costs of everything that the snapshot shows; `snapshot.usage` must be read whole."""
    prices = read_prices(snapshot)
    _, ends = month_of(snapshot.now)
    names = sorted({*snapshot.lab.pools, *(vm.pool for vm in snapshot.vms), *(used.pool for used in snapshot.usage)})
    hourly = tier_rate(snapshot.lab, prices, len(paid_for(snapshot)))
    fixed = tier_rate(snapshot.lab, prices)
    so_far = fixed * tier_hours(snapshot)
    return Costs(
        pools=tuple(_reckon_pool(snapshot, prices, name, ends) for name in names),
        tier_hourly=hourly,
        tier_so_far=so_far,
        tier_forecast=so_far + hourly * _hours(ends - snapshot.now),
    )


def _reckon_pool(snapshot: Snapshot, prices: PriceList, name: str, ends: datetime) -> PoolCost:
    mine = [vm for vm in snapshot.vms if vm.pool == name]
    rate = rate_of(prices, (Kind.of_spec(vm.spec) for vm in mine))
    so_far = sum(
        (prices.vm(used.region, used.instance_type, (used.volume_type, used.volume_size)) or 0.0) * used.hours
        for used in snapshot.usage
        if used.pool == name
    )
    pool = snapshot.lab.pools.get(name)
    each = price_of(prices, Kind.of_pool(pool)) if pool else None
    ahead = hours_ahead(snapshot.lab, name, snapshot.now, ends, len(mine)) if pool else 0.0
    unpriced = rate.unpriced
    if pool and each is None:
        unpriced = (*unpriced, prices.missing(pool.region, pool.instance_type[0], pool.volume.type))
    return PoolCost(name, len(mine), rate.usd, so_far, so_far + ahead * (each or 0.0), tuple(sorted(set(unpriced))))


def hours_ahead(lab: Lab, name: str, now: datetime, until: datetime, present: int) -> float:
    """VM-hours of a declared pool from now on: its size, its windows and its courses, looked at every half hour."""
    pool, courses = lab.pools[name], [course for course in lab.courses.values() if course.pool == name]
    own = _own_size(pool, present)
    if not pool.schedule and not courses:
        return own * _hours(until - now)
    hours, at = 0.0, now
    while at < until:
        lasts = min(STEP, until - at)
        scheduled = scheduled_now(pool, at)
        seats = sum(course.seats for course in courses if course.from_at - STEP <= at < course.to_at)
        hours += max(scheduled.window.size if scheduled else own, seats) * _hours(lasts)
        at += lasts
    return hours


def _own_size(pool: Pool, present: int) -> int:
    """An elastic pool is expected to stay as it is, within its bounds."""
    if isinstance(pool.size, int):
        return pool.size
    return min(max(present, pool.size.min), pool.size.max)


def _hours(length: timedelta) -> float:
    return length.total_seconds() / 3600
