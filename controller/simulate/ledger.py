"""What a rehearsal tells afterwards: people and their waits, VMs and their hours, money, and what was there when seats were due. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from schemas.calendar import next_span
from schemas.lab import Lab
from schemas.simulation import PoolReport, Report, Sample, SeatsReady, Waits
from schemas.vm import Phase, Vm

from controller.decide.money import Kind, price_of
from controller.decide.prices import PriceList
from controller.decide.schedule import name_of
from controller.decide.tier import tier_rate

if TYPE_CHECKING:
    from controller.simulate.people import Person
    from controller.simulate.rehearsal import Rehearsal

SAMPLES = 240
SHORT = timedelta(minutes=15)
AT_ONCE = timedelta(seconds=5)
BEFORE = timedelta(hours=6)
"""Seats that were all there longer before they were due were there anyway."""


@dataclass
class Due:
    """Seats that should be usable from a moment on."""

    name: str
    at: datetime
    wanted: int
    ready: int = 0
    all_ready_at: datetime | None = None


@dataclass
class PoolLedger:
    people: int = 0
    gave_up: int = 0
    waits: list[timedelta] = field(default_factory=list)
    longest_line: int = 0
    created: int = 0
    refused: int = 0
    broken: int = 0
    short_lived: int = 0
    most: int = 0
    vm_hours: float = 0.0
    used_hours: float = 0.0
    usd: float = 0.0
    due: list[Due] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass
class Ledger:
    """Kept by one rehearsal; `pass_time` accounts for each stretch between two moments."""

    pools: dict[str, PoolLedger] = field(default_factory=lambda: defaultdict(PoolLedger))
    prices: PriceList = field(default_factory=PriceList)
    tier_usd: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    tiers: dict[int, float] = field(default_factory=dict)
    unpriced: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)  # host names that were used or came up broken
    sampled_at: datetime | None = None

    def open(self, world: Rehearsal) -> None:
        self.prices = PriceList.of(world.document.prices)
        for name in world.document.pools:
            self.pools[name].due = list_due(world.document, name, world.plan.start, world.plan.days)
            for due in self.pools[name].due:
                world.at(due.at, partial(_note_ready, world, name, due))

    def pass_time(self, world: Rehearsal, until: datetime) -> None:
        """What is there costs until then."""
        hours = (until - world.now).total_seconds() / 3600
        counts = {name: [0, 0, 0, 0] for name in world.document.pools}
        for vm in world.vms.values():
            count = counts.setdefault(vm.pool, [0, 0, 0, 0])
            if vm.instance_state != "running":
                continue
            count[0] += 1
            if vm.phase is Phase.LIVE and vm.ready_at:
                count[2 if vm.assignment_id else 1] += 1
            self.pools[vm.pool].usd += hours * self._price(vm)
        self.tier_usd += hours * self._tier(world, sum(count[0] for count in counts.values()))
        for name, (present, ready, in_use, _) in counts.items():
            self._account(
                world,
                name,
                Sample(at=world.now, present=present, ready=ready, in_use=in_use, waiting=len(world.line[name])),
                hours,
            )
        span = timedelta(days=world.plan.days) / SAMPLES
        if self.sampled_at is None or world.now - self.sampled_at >= span:
            self.sampled_at = world.now

    def _account(self, world: Rehearsal, name: str, sample: Sample, hours: float) -> None:
        pool = self.pools[name]
        pool.vm_hours += sample.present * hours
        pool.used_hours += sample.in_use * hours
        pool.most = max(pool.most, sample.present)
        pool.longest_line = max(pool.longest_line, sample.waiting)
        for due in pool.due:
            if due.all_ready_at is None and world.now >= due.at - BEFORE and sample.ready + sample.in_use >= due.wanted:
                due.all_ready_at = world.now
        if self.sampled_at is None or world.now - self.sampled_at >= timedelta(days=world.plan.days) / SAMPLES:
            pool.samples.append(sample)

    def _tier(self, world: Rehearsal, vms: int) -> float:
        if vms not in self.tiers:
            self.tiers[vms] = tier_rate(world.document, self.prices, vms)
        return self.tiers[vms]

    def _price(self, vm: Vm) -> float:
        if vm.hostname not in self.rates:
            self.rates[vm.hostname] = self._look_up(Kind.of_spec(vm.spec))
        return self.rates[vm.hostname]

    def _look_up(self, kind: Kind) -> float:
        each = price_of(self.prices, kind)
        if each is None:
            self.unpriced.add(self.prices.missing(kind.region, kind.instance_type, kind.volume[0]))
        return each or 0.0

    def arrived(self, person: Person) -> None:
        self.pools[person.pool].people += 1

    def bound(self, person: Person) -> None:
        assert person.bound_at is not None
        self.pools[person.pool].waits.append(person.bound_at - person.arrives)

    def gave_up(self, person: Person) -> None:
        self.pools[person.pool].gave_up += 1

    def created(self, vm: Vm) -> None:
        self.pools[vm.pool].created += 1

    def refused(self, vm: Vm) -> None:
        self.pools[vm.pool].refused += 1

    def failed(self, vm: Vm) -> None:
        self.pools[vm.pool].broken += 1
        self.spoilt.add(vm.hostname)

    def used(self, hostname: str) -> None:
        self.spoilt.add(hostname)

    def ended(self, vm: Vm, now: datetime) -> None:
        unused = vm.hostname not in self.spoilt
        if unused and vm.launched_at and now - vm.created_at < SHORT:
            self.pools[vm.pool].short_lived += 1
        self.spoilt.discard(vm.hostname)
        self.rates.pop(vm.hostname, None)


def list_due(lab: Lab, pool: str, start: datetime, days: float) -> list[Due]:
    """What courses and windows promise within the rehearsal."""
    until = start + timedelta(days=days)
    due = [Due(f"course {name}", one.from_at, one.seats) for name, one in lab.courses.items() if one.pool == pool]
    for window in lab.pools[pool].schedule:
        at = start - timedelta(seconds=1)
        while (span := next_span(window, at)) and span.from_at < until:
            due.append(Due(name_of(window), span.from_at, window.size))
            at = span.from_at
    return sorted((one for one in due if start <= one.at < until), key=lambda one: (one.at, one.name))


def _note_ready(world: Rehearsal, pool: str, due: Due) -> None:
    due.ready = world.usable(pool)


def report(world: Rehearsal) -> Report:
    """The figures of a rehearsal that has ended."""
    ledger = world.ledger
    return Report(
        plan=world.plan,
        ended_at=world.now,
        ticks=world.ticks,
        usd=round(ledger.tier_usd + sum(pool.usd for pool in ledger.pools.values()), 2),
        unpriced=tuple(sorted(ledger.unpriced)),
        pools=tuple(_report_pool(name, ledger.pools[name], len(world.line[name])) for name in sorted(ledger.pools)),
    )


def _report_pool(name: str, pool: PoolLedger, waiting: int) -> PoolReport:
    return PoolReport(
        name=name,
        people=pool.people,
        served=len(pool.waits),
        gave_up=pool.gave_up,
        waiting=waiting,
        at_once=sum(wait <= AT_ONCE for wait in pool.waits),
        waits=measure_waits(pool.waits),
        longest_line=pool.longest_line,
        created=pool.created,
        refused=pool.refused,
        broken=pool.broken,
        short_lived=pool.short_lived,
        most=pool.most,
        vm_hours=round(pool.vm_hours, 2),
        used_hours=round(pool.used_hours, 2),
        usd=round(pool.usd, 2),
        seats=tuple(
            SeatsReady(name=one.name, at=one.at, wanted=one.wanted, ready=one.ready, all_ready_at=one.all_ready_at)
            for one in pool.due
        ),
        samples=tuple(pool.samples),
    )


def measure_waits(waits: list[timedelta]) -> Waits:
    if not waits:
        return Waits()
    seconds = sorted(wait.total_seconds() for wait in waits)
    last = len(seconds) - 1
    return Waits(median_s=seconds[last // 2], p95_s=seconds[round(last * 0.95)], worst_s=seconds[last])
