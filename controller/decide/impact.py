"""What a declaration means for money and people, once it is carried out: "+3, replace 2 idle, 0 people disturbed, +$1.58/h". Pure.

Counts where the pools end up, not what one tick does on the way there. Used by previews, approvals and the plan gate's record.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields

from schemas.decision import Decision, EndVm, MarkLost
from schemas.lab import Pool
from schemas.snapshot import Snapshot
from schemas.vm import Bucket, Vm

from controller.decide.budget import read_prices
from controller.decide.classify import is_taken
from controller.decide.money import Kind, Rate, rate_of, usd
from controller.decide.prices import PriceList
from controller.decide.work import BROKEN

HERE = frozenset({Bucket.PLANNED, Bucket.BOOTING, Bucket.READY, Bucket.ASSIGNED, Bucket.OUTDATED})


@dataclass(frozen=True, slots=True)
class Impact:
    """`grow` is negative where VMs go. `disturbed`: people whose VM is ended or is gone. `usd`: per hour, more or less than now."""

    grow: int = 0
    idle: int = 0  # free VMs that are replaced
    broken: int = 0  # broken ones that are replaced
    later: int = 0  # VMs in use that are replaced once they are released
    disturbed: int = 0
    usd: float = 0.0
    unpriced: tuple[str, ...] = ()

    def __add__(self, other: "Impact") -> "Impact":
        return Impact(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def sentence(self) -> str:
        parts = [f"{self.grow:+d}"] if self.grow else ["no VM more or less"]
        parts += [f"replace {self.idle} idle"] * bool(self.idle)
        parts += [f"replace {self.broken} broken"] * bool(self.broken)
        parts += [f"{self.later} in use replaced later"] * bool(self.later)
        return ", ".join([*parts, self.about_money])

    @property
    def about_money(self) -> str:
        people = "1 person disturbed" if self.disturbed == 1 else f"{self.disturbed} people disturbed"
        missing = f" (not counted: {'; '.join(self.unpriced)})" if self.unpriced else ""
        return f"{people}, {'-' if self.usd < -0.005 else '+'}{usd(abs(self.usd))}/h{missing}"


def weigh(snapshot: Snapshot, decision: Decision) -> dict[str, Impact]:
    """By pool. Raises nothing; a kind without a price is named and counts for nothing."""
    prices = read_prices(snapshot)
    rows: dict[str, list[Vm]] = {}
    for vm in snapshot.vms:
        rows.setdefault(vm.pool, []).append(vm)
    buckets = {one.subject: one.bucket for one in decision.judgements}
    outdated = Counter(one.pool for one in decision.held if one.what.startswith("replace ") and "in use" in one.reason)
    disturbed = _disturbed(snapshot, decision)
    return {
        name: _weigh_pool(
            prices,
            snapshot.lab.pools.get(name),
            outlook.declared,
            [(vm, buckets[vm.hostname]) for vm in rows.get(name, [])],
        )
        + Impact(later=outdated[name], disturbed=disturbed[name])
        for name, outlook in decision.pools.items()
    }


def _weigh_pool(prices: PriceList, pool: Pool | None, declared: int, rows: list[tuple[Vm, Bucket]]) -> Impact:
    here = [vm for vm, bucket in rows if bucket in HERE]
    taken = [vm for vm in here if is_taken(vm)]
    then = max(declared, len(taken))
    broken = min(sum(bucket in BROKEN for _, bucket in rows), max(0, then - len(here)))
    idle = min(sum(bucket is Bucket.OUTDATED for _, bucket in rows), then - len(taken))
    kept = then - len(taken)
    now = rate_of(prices, (Kind.of_spec(vm.spec) for vm, _ in rows))
    later = rate_of(prices, [*(Kind.of_spec(vm.spec) for vm in taken), *([Kind.of_pool(pool)] * kept if pool else [])])
    return Impact(
        grow=then - len(here) - broken, idle=idle, broken=broken, usd=later.usd - now.usd,
        unpriced=tuple(sorted({*now.unpriced, *later.unpriced})),
    )  # fmt: skip


def _disturbed(snapshot: Snapshot, decision: Decision) -> Counter[str]:
    taken = {vm.hostname for vm in snapshot.vms if is_taken(vm)}
    return Counter(
        action.pool for action in decision.actions if isinstance(action, EndVm | MarkLost) and action.hostname in taken
    )


def total(impacts: dict[str, Impact]) -> Impact:
    return sum(impacts.values(), Impact())


def weigh_plan(prices: PriceList, rows: Iterable[Vm], creates: Set[str], deletes: Set[str]) -> str:
    """What the plan of one shard means, for its run's record: "0 people disturbed, +$1.58/h"."""
    known = {vm.hostname: vm for vm in rows}
    more, less = _rate_of(prices, known, creates), _rate_of(prices, known, deletes)
    disturbed = sum(is_taken(known[name]) for name in deletes if name in known)
    return Impact(disturbed=disturbed, usd=more.usd - less.usd, unpriced=more.unpriced).about_money


def _rate_of(prices: PriceList, known: Mapping[str, Vm], names: Set[str]) -> Rate:
    return rate_of(prices, (Kind.of_spec(known[name].spec) for name in names if name in known))
