"""What rows, pools and whole declarations cost per hour: sums over the price list. Pure; used by the budget, previews and costs.

A sum is of what has a price; what has none is named beside it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.lab import Lab, Pool
from schemas.snapshot import Snapshot
from schemas.spec import VmSpec

from controller.decide.prices import PriceList


@dataclass(frozen=True, slots=True)
class Kind:
    """VMs that cost the same."""

    region: str
    instance_type: str
    volume: tuple[str, int]

    @classmethod
    def of_spec(cls, spec: VmSpec) -> "Kind":
        return cls(spec.region, spec.instance_type, (spec.volume_type, spec.volume_size))

    @classmethod
    def of_pool(cls, pool: Pool, instance_type: str = "") -> "Kind":
        """Of its first type, unless another is named."""
        return cls(pool.region, instance_type or pool.instance_type[0], (pool.volume.type, pool.volume.size))


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per hour of what has a price, and a sentence for each kind that has none."""

    usd: float = 0.0
    unpriced: tuple[str, ...] = ()


def price_of(prices: PriceList, kind: Kind) -> float | None:
    """USD per hour of one VM."""
    return prices.vm(kind.region, kind.instance_type, kind.volume)


def rate_of(prices: PriceList, kinds: Iterable[Kind]) -> Rate:
    """What these cost together; linear in their number, one look-up a kind."""
    usd, unpriced = 0.0, []
    for kind, number in Counter(kinds).items():
        each = price_of(prices, kind)
        if each is None:
            unpriced.append(prices.missing(kind.region, kind.instance_type, kind.volume[0]))
        else:
            usd += each * number
    return Rate(usd, tuple(sorted(set(unpriced))))


def paid_for(snapshot: Snapshot) -> list[Kind]:
    """Everything that costs money now or is about to: rows that are not gone, and instances beside them."""
    rows = {vm.hostname: vm for vm in snapshot.vms}
    kinds = [Kind.of_spec(vm.spec) for vm in snapshot.vms]
    own: set[str] = set()
    for one in snapshot.instances:
        row = rows.get(one.hostname or "")
        if not one.exists:
            continue
        if row and row.instance_id is None and row.hostname not in own:
            own.add(row.hostname)  # the instance of a row that has not recorded it yet
            continue
        pool = snapshot.lab.pools.get(one.pool or "")
        volume = (pool.volume.type, pool.volume.size) if pool else ("gp3", 50)
        kinds.append(Kind(one.region, one.instance_type, volume))
    return kinds


def most_of(pool: Pool) -> int:
    """The largest number of VMs that the declaration can ask for at any time, surge aside."""
    largest = pool.size if isinstance(pool.size, int) else pool.size.max
    return max([largest, *(window.size for window in pool.schedule)])


def declared_rate(lab: Lab, prices: PriceList) -> Rate:
    """What a declaration may cost per hour at most: each pool at its largest, of its dearest type."""
    kinds: list[Kind] = []
    for pool in lab.pools.values():
        dearest = max(
            (Kind.of_pool(pool, instance_type) for instance_type in pool.instance_type),
            key=lambda kind: price_of(prices, kind) or 0.0,
        )
        kinds += [dearest] * most_of(pool)
    return rate_of(prices, kinds)


def usd(amount: float) -> str:
    """Money as sentences show it."""
    return f"${amount:,.2f}"
