"""Where the next VM is tried: types × zones in order of preference, but for places that AWS has just refused. Pure.

A lack of machines passes within minutes; a quota that is used up stays so until somebody gives a VM back or asks AWS for more. So a type without
quota is passed over as long as there is another one; where there is none it is tried again, at the pace of failed runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lab import Pool
from schemas.pool import Refusal

REMEMBERED = timedelta(minutes=3)
QUOTA_REMEMBERED = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Place:
    """A type and a zone (empty: any); `passed` are the better ones that were refused just now."""

    instance_type: str
    zone: str
    passed: tuple[str, ...] = ()
    without_quota: bool = False


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Every place was refused; the first is worth another try at `again_at`."""

    passed: tuple[str, ...]
    again_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The places of a region that AWS refused lately, and until when each is remembered; types without quota apart."""

    until: dict[tuple[str, str], datetime]
    no_quota: frozenset[str] = frozenset()

    @classmethod
    def of(cls, refusals: Sequence[Refusal], pool: Pool, now: datetime) -> "Refused":
        """Those that concern the pool: of its region and its market."""
        mine = [one for one in refusals if (one.region, one.market) == (pool.region, pool.market)]
        kept = [one for one in sorted(mine, key=lambda one: one.refused_at) if remembered_until(one) > now]
        return cls(
            {(one.instance_type, one.zone): remembered_until(one) for one in kept if one.cause == "capacity"},
            frozenset(one.instance_type for one in kept if one.cause == "quota"),
        )

    def opens_at(self, instance_type: str, zone: str) -> datetime | None:
        """A refusal of any zone ("") covers each zone of its type; a refusal of one zone does not cover "any"."""
        ends = (self.until.get((instance_type, zone)), self.until.get((instance_type, "")))
        return max((until for until in ends if until), default=None)


def remembered_until(refusal: Refusal) -> datetime:
    return refusal.refused_at + (QUOTA_REMEMBERED if refusal.cause == "quota" else REMEMBERED)


def choose_place(pool: Pool, refused: Refused) -> Place | NoPlace:
    places = list(_places(pool, refused))
    passed: list[str] = []
    for place, opens_at in places:
        if opens_at is None and not place.without_quota:
            return Place(place.instance_type, place.zone, tuple(passed))
        why = " for its quota" if place.without_quota else ""
        passed.append(f"{place.instance_type} in {place.zone or pool.region}{why}")
    without = next((place for place, opens_at in places if opens_at is None), None)
    return without or NoPlace(tuple(passed), min(opens_at for _, opens_at in places if opens_at))


def _places(pool: Pool, refused: Refused) -> Iterator[tuple[Place, datetime | None]]:
    """Each place of the ladder, and until when AWS's last refusal for lack of machines is remembered."""
    for instance_type in pool.instance_type:
        for zone in pool.zones or ("",):
            place = Place(instance_type, zone, without_quota=instance_type in refused.no_quota)
            yield place, refused.opens_at(instance_type, zone)
