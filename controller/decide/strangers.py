"""Instances that no present row has recorded: which row they belong to, or what explains them. Pure; called by `survey`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.lab import Pool
from schemas.snapshot import Snapshot
from schemas.vm import Instance, Vm

from controller.decide.names import Naming, is_of_older_system

ALIVE = ("pending", "running", "stopping", "stopped")


class Kind(StrEnum):
    UNRECORDED = "unrecorded"  # a present row without instance id has its name
    DUPLICATE = "duplicate"  # its name belongs to another instance
    EXPLAINED = "explained"  # no present row, but a gone row or its tags say what it is
    ORPHAN = "orphan"  # nothing explains it


@dataclass(frozen=True, slots=True)
class Stranger:
    """An existing instance without a row of its own. `settled`: two looks, far enough apart, have seen it."""

    instance: Instance
    kind: Kind
    pool: str | None
    reason: str
    settled: bool
    row: Vm | None = None  # the present or gone row of its name
    number: int = 0

    @property
    def alive(self) -> bool:
        return self.instance.state in ALIVE

    @property
    def subject(self) -> str:
        """What a judgement calls it: a name that it does not share, else its id."""
        elsewhere = self.row is not None and self.row.region != self.instance.region
        shares = self.kind is Kind.DUPLICATE or elsewhere or self.instance.hostname is None
        return self.instance.instance_id if shares else str(self.instance.hostname)

    @property
    def counts(self) -> bool:
        """Whether it stands beside the rows at the ceiling; an unrecorded one is counted with its row."""
        return self.kind is not Kind.UNRECORDED


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """All that may explain an instance."""

    naming: Naming
    pools: Mapping[str, Pool]
    gone: Mapping[str, Vm]
    bases: frozenset[tuple[str, str]]  # pool and region of the bases that stand
    listed_at: Mapping[str, datetime]
    settle: timedelta

    @classmethod
    def of(cls, snapshot: Snapshot, naming: Naming) -> "Acquaintance":
        return cls(
            naming=naming,
            pools=snapshot.lab.pools,
            gone=snapshot.gone,
            bases=frozenset((base.pool, base.region) for base in snapshot.bases if base.wanted),
            listed_at={region: listing.taken_at for region, listing in snapshot.listings.items()},
            settle=timedelta(seconds=snapshot.settle_s),
        )

    def settled(self, instance: Instance) -> bool:
        listed_at = self.listed_at.get(instance.region)
        return listed_at is not None and listed_at - instance.first_seen_at >= self.settle


def meet(instances: Iterable[Instance], rows: Mapping[str, Vm], known: Acquaintance) -> list[Stranger]:
    """Every existing instance once; of several with one name the oldest that is alive comes first."""
    by_name: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        if instance.exists:
            by_name[instance.hostname or ""].append(instance)
    strangers: list[Stranger] = []
    for hostname, alike in sorted(by_name.items()):
        alike.sort(key=lambda one: (one.state not in ALIVE, one.launched_at, one.instance_id))
        if row := rows.get(hostname):
            strangers += _of_row(row, [one for one in alike if one.region == row.region], known)
            strangers += [_elsewhere(row, one, known) for one in alike if one.region != row.region]
        else:
            strangers += _without_row(alike, known)
    return strangers


def _of_row(row: Vm, alike: list[Instance], known: Acquaintance) -> Iterable[Stranger]:
    free_name = row.instance_id is None
    for instance in alike:
        kind = Kind.UNRECORDED if free_name else Kind.DUPLICATE
        reason = (
            f"{instance.instance_id} has the name of {row.hostname}, which has no instance recorded"
            if free_name
            else f"{instance.instance_id} has the name of {row.hostname}, whose instance is another one"
        )
        free_name = False
        yield Stranger(instance, kind, row.pool, reason, known.settled(instance), row)


def _elsewhere(row: Vm, instance: Instance, known: Acquaintance) -> Stranger:
    """Another region's instance can be neither the row's nor taken into the row's state."""
    reason = f"{instance.instance_id} in {instance.region} has the name of {row.hostname}, which lives in {row.region}"
    return Stranger(instance, Kind.ORPHAN, row.pool, reason, known.settled(instance), row)


def _without_row(alike: list[Instance], known: Acquaintance) -> Iterable[Stranger]:
    named = False  # one instance of a name is adopted; the others are then its duplicates
    for instance in alike:
        if named:
            reason = f"{instance.instance_id} has the name of {instance.hostname}, an older instance"
            pool = instance.pool if instance.pool in known.pools else None
            yield Stranger(instance, Kind.DUPLICATE, pool, reason, known.settled(instance))
            continue
        stranger = _explain(instance, known)
        named = stranger.kind is Kind.EXPLAINED
        yield stranger


def _explain(instance: Instance, known: Acquaintance) -> Stranger:
    settled = known.settled(instance)
    former = known.gone.get(instance.hostname or "")
    name = known.naming.parse(instance.hostname)
    if former and instance.state in ALIVE and _has_home(former, instance, known):
        reason = f"{instance.instance_id} is the instance of a row that was believed gone"
        number = name[1] if name else 0
        return Stranger(instance, Kind.EXPLAINED, former.pool, reason, settled, former, number)
    pool = instance.pool if instance.pool in known.pools else None
    unexplained = _unexplained(instance, name, known)
    if unexplained:
        return Stranger(instance, Kind.ORPHAN, pool, f"{instance.instance_id}: {unexplained}", settled)
    reason = f"{instance.instance_id} carries the tags of this pool and has no row"
    return Stranger(instance, Kind.EXPLAINED, pool, reason, settled, None, name[1] if name else 0)


def _has_home(former: Vm, instance: Instance, known: Acquaintance) -> bool:
    """Whether a base still stands, or will, for the revived row to be imported beside."""
    pool = known.pools.get(former.pool)
    declared_here = pool is not None and pool.region == instance.region
    return former.region == instance.region and (declared_here or (former.pool, former.region) in known.bases)


def _unexplained(instance: Instance, name: tuple[str, int] | None, known: Acquaintance) -> str:
    pool = known.pools.get(instance.pool or "")
    if instance.state not in ALIVE:
        return f"it is {instance.state} and has no row"
    if pool is None:
        return f"its pool {instance.pool} is not declared" if instance.pool else "it carries no pool"
    if instance.region != pool.region:
        return f"it is in {instance.region}, its pool in {pool.region}"
    if is_of_older_system(instance.hostname) and name is None:
        return ""
    if name is None or name[0] != instance.pool:
        return (
            f"its host name {instance.hostname} is none of its pool's" if instance.hostname else "it has no host name"
        )
    return ""
