"""What one thing costs here, and who says so: `prices:` of the document, then AWS's own word, then the table. Pure.

Unknown is None, never zero and never a guess: budgets hold back what has no price, costs say which price is missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.price import LivePrice

from controller.decide.price_table import AS_OF, DATABASES, ELSEWHERE, FAMILIES, PARTS, US, VOLUMES

HOURS_A_MONTH = 730.0
"""As AWS counts a month when it prices by one."""


@dataclass(frozen=True, slots=True)
class Price:
    usd: float
    source: str  # "lablink.yaml", "AWS 2026-12-01", "table 2025-11-01"


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by what is asked for; looks nothing up outside."""

    declared: Mapping[str, float] = field(default_factory=dict)
    live: Mapping[tuple[str, str], LivePrice] = field(default_factory=dict)

    @classmethod
    def of(cls, declared: Mapping[str, float], live: Iterable[LivePrice] = ()) -> "PriceList":
        return cls(declared, {(one.region, one.instance_type): one for one in live})

    def instance(self, region: str, instance_type: str) -> Price | None:
        """USD per hour, Linux on demand. Spot is counted alike: it never costs more, and what it costs changes by the hour."""
        if declared := self._declared(region, instance_type):
            return declared
        if live := self.live.get((region, instance_type)):
            return Price(live.usd, f"AWS {live.asked_at:%Y-%m-%d}")
        return _tabled(_instance(region, instance_type))

    def volume(self, region: str, kind: str) -> Price | None:
        """USD per GiB and month."""
        return self._declared(region, kind) or _tabled(VOLUMES.get(region, {}).get(kind))

    def database(self, region: str, instance_class: str) -> Price | None:
        """USD per hour in one zone."""
        return self._declared(region, instance_class) or _tabled(DATABASES.get(instance_class))

    def part(self, region: str, name: str) -> Price:
        """A part of `price_table.PARTS`; each has a price everywhere."""
        return self._declared(region, name) or Price(PARTS[name], f"table {AS_OF}")

    def vm(self, region: str, instance_type: str, volume: tuple[str, int]) -> float | None:
        """USD per hour of a client VM with its disk (type, GiB) and its public address."""
        instance, disk = self.instance(region, instance_type), self.volume(region, volume[0])
        if instance is None or disk is None:
            return None
        return instance.usd + disk.usd * volume[1] / HOURS_A_MONTH + self.part(region, "ipv4").usd

    def missing(self, region: str, instance_type: str, volume_type: str) -> str:
        """What to declare so that a VM has a price."""
        name = instance_type if self.instance(region, instance_type) is None else volume_type
        return f"no price is known for {name} in {region}: declare it under `prices:`, such as `{region}/{name}: 1.25`"

    def _declared(self, region: str, name: str) -> Price | None:
        usd = self.declared.get(f"{region}/{name}", self.declared.get(name))
        return None if usd is None else Price(usd, "lablink.yaml")


def _tabled(usd: float | None) -> Price | None:
    return None if usd is None else Price(usd, f"table {AS_OF}")


def _instance(region: str, instance_type: str) -> float | None:
    family, _, size = instance_type.partition(".")
    sizes = FAMILIES.get(family, {})
    if size not in sizes or region in US:
        return sizes.get(size)
    first = ELSEWHERE.get(region, {}).get(family)
    return None if first is None else round(sizes[size] * first / next(iter(sizes.values())), 4)
