"""Where the next VM is tried: types × zones in order of preference, but for places that AWS has just refused. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lab import Pool
from schemas.pool import Refusal

REMEMBERED = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Place:
    """A type and a zone (empty: any); `passed` are the better ones that were refused just now."""

    instance_type: str
    zone: str
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Every place was refused; the first is worth another try at `again_at`."""

    passed: tuple[str, ...]
    again_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The places of a region that AWS refused lately, and until when each is remembered."""

    until: dict[tuple[str, str], datetime]

    @classmethod
    def of(cls, refusals: Sequence[Refusal], region: str, now: datetime) -> "Refused":
        by_age = sorted(refusals, key=lambda refusal: refusal.refused_at)
        ends = {(one.instance_type, one.zone): one.refused_at + REMEMBERED for one in by_age if one.region == region}
        return cls({place: until for place, until in ends.items() if until > now})

    def opens_at(self, instance_type: str, zone: str) -> datetime | None:
        """A refusal of any zone ("") covers each zone of its type; a refusal of one zone does not cover "any"."""
        ends = (self.until.get((instance_type, zone)), self.until.get((instance_type, "")))
        return max((until for until in ends if until), default=None)


def choose_place(pool: Pool, refused: Refused) -> Place | NoPlace:
    passed: list[str] = []
    opens: list[datetime] = []
    for instance_type in pool.instance_type:
        for zone in pool.zones or ("",):
            opens_at = refused.opens_at(instance_type, zone)
            if opens_at is None:
                return Place(instance_type, zone, tuple(passed))
            opens.append(opens_at)
            passed.append(f"{instance_type} in {zone or pool.region}")
    return NoPlace(tuple(passed), min(opens))
