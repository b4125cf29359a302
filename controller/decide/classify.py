"""Puts every row into exactly one bucket, with a sentence that says why. Pure; called by `survey` for each pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.lab import Health, Pool
from schemas.snapshot import Snapshot
from schemas.spec import spec_hash
from schemas.vm import Bucket, GpuHealth, Phase, Seat, Vm, VmStatus

from controller.decide.drift import CHANGED, find_drift, is_corrected
from controller.decide.names import clock

# A new instance may be absent from listings for some minutes: DescribeInstances is eventually consistent.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
YOUNG = timedelta(minutes=5)
RELEASED = "released by its user; replaced by a clean one"
RECLAIM_HEARD = timedelta(minutes=15)
"""AWS says it two minutes before; what a VM says of a later time, or has said long ago, is not believed."""
REPLACED = "replaced"
"""In the reason of each row that drains so that another takes its place: only those let a pool surge."""


class Judged(NamedTuple):
    """A row and what is thought of it. `outdated` and `drift` are told for all rows, `trouble` for those in use as well."""

    vm: Vm
    number: int
    bucket: Bucket
    reason: str
    trouble: str = ""
    outdated: str = ""
    drift: str = ""
    reclaimed: bool = False

    @property
    def usable(self) -> bool:
        """Whether a person has it or could have it now."""
        waits = self.vm.ready_at is not None and self.vm.renewing_since is None
        return (self.bucket in (Bucket.READY, Bucket.ASSIGNED) and not self.reclaimed) or (
            self.bucket is Bucket.OUTDATED and waits
        )


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What the rows of one pool are measured by in this tick. `current_hash` None: nobody is outdated by its hash."""

    now: datetime
    settle: timedelta
    listed_at: dict[str, datetime]
    health: Health
    pool: Pool | None
    current_hash: str | None
    mute_before: datetime | None  # last words before this are too old; None: nobody can be heard now
    api_up_since: datetime | None
    bases: Mapping[str, Mapping[str, str]]  # outputs of the pool's bases, by region

    @classmethod
    def of(cls, snapshot: Snapshot, name: str, bases: Mapping[str, Mapping[str, str]]) -> "Yardstick":
        row, pool = snapshot.pools.get(name), snapshot.lab.pools.get(name)
        ami, startup_script = (row.ami, row.startup_script) if row else (None, "")
        health = pool.health if pool else Health()
        up_since, mute_before = snapshot.api_up_since, snapshot.now - health.silent
        # Silence counts only time during which the API was up: heard or not, everybody gets that long after its start.
        listening = up_since is not None and up_since < mute_before
        return cls(
            now=snapshot.now,
            settle=timedelta(seconds=snapshot.settle_s),
            listed_at={region: listing.taken_at for region, listing in snapshot.listings.items()},
            health=health,
            pool=pool,
            current_hash=spec_hash(pool, ami, startup_script) if pool and ami else None,
            mute_before=mute_before if listening else None,
            api_up_since=up_since,
            bases=bases,
        )


def is_taken(vm: Vm) -> bool:
    return vm.assignment_id is not None or vm.seat is Seat.TAKEN


def is_reclaimed(vm: Vm, now: datetime) -> bool:
    """Whether AWS is about to take its spot instance back."""
    return (
        vm.reclaim_at is not None
        and vm.phase is Phase.LIVE
        and vm.spec.market == "spot"
        and abs(vm.reclaim_at - now) <= RECLAIM_HEARD
    )


def judge(vm: Vm, number: int, yard: Yardstick) -> Judged:
    """The first rule that holds decides: what is over, what is lost, whose it is, and only then how it fares.

    One whose seat drains was given up already (released, or replaced by an admin): that it is lost is no news.
    """
    if vm.phase is Phase.DRAINING:
        return Judged(vm, number, Bucket.DRAINING, vm.reason or "draining")
    if vm.phase is Phase.LOST:
        return Judged(vm, number, Bucket.LOST, vm.reason or "its instance is gone")
    if vm.phase is Phase.LIVE and vm.seat is not Seat.DRAINING and (loss := _loss(vm, yard)):
        return Judged(vm, number, Bucket.LOST, loss)
    outdated = _outdated(vm, yard)
    trouble = _trouble(vm, yard) if vm.phase is Phase.LIVE else None
    drift = find_drift(vm, yard.bases.get(vm.region, {})) if vm.phase is Phase.LIVE else ""
    reclaimed = is_reclaimed(vm, yard.now)
    if reclaimed and vm.reclaim_at:
        trouble = Bucket.RECLAIMED, f"AWS takes its spot instance back at {clock(vm.reclaim_at)}"
    if is_taken(vm):
        words = f"assigned; {trouble[0]}: {trouble[1]}" if trouble else "assigned"
        return Judged(
            vm,
            number,
            Bucket.ASSIGNED,
            _seen(vm, words, drift),
            trouble[1] if trouble else "",
            outdated,
            drift,
            reclaimed,
        )
    corrected = drift if drift and is_corrected(vm, yard.pool, yard.now) else ""
    bucket, reason = _free(vm, trouble, outdated or (corrected and f"{CHANGED}: {corrected}"))
    told = "" if bucket is Bucket.OUTDATED and not outdated else drift
    return Judged(vm, number, bucket, _seen(vm, reason, told), outdated=outdated, drift=drift)


def _free(vm: Vm, trouble: tuple[Bucket, str] | None, outdated: str) -> tuple[Bucket, str]:
    if vm.phase is Phase.PLANNED:
        return Bucket.PLANNED, "decided, not made yet"
    if vm.seat is Seat.DRAINING:
        return Bucket.DRAINING, RELEASED
    if trouble:
        return trouble
    if outdated:
        return Bucket.OUTDATED, outdated
    if vm.ready_at is None:
        return Bucket.BOOTING, "has not called in yet"
    if vm.renewing_since is not None:
        return Bucket.BOOTING, "is made ready for its next person"
    return Bucket.READY, "cordoned" if vm.cordoned else "waits for a user"


def _seen(vm: Vm, words: str, drift: str) -> str:
    """What was changed by hand is told; one look that lacks the instance proves nothing, but is told, too."""
    words = f"{words}; {CHANGED}: {drift}" if drift else words
    return f"{words}; its instance is absent from the listing, which is not believed yet" if vm.missing_since else words


def _loss(vm: Vm, yard: Yardstick) -> str:
    """Why the instance of a live row is believed to be gone, or nothing."""
    if vm.instance_state in ("terminated", "shutting-down"):
        return f"its instance is {vm.instance_state}"
    listed_at = yard.listed_at.get(vm.region)
    if vm.missing_since is None or listed_at is None or listed_at - vm.missing_since < yard.settle:
        return ""
    young = listed_at - (vm.launched_at or vm.created_at) <= YOUNG
    heard = vm.heard_at is not None and vm.heard_at > vm.missing_since
    return "" if young or heard else "its instance is absent from two listings"


def _trouble(vm: Vm, yard: Yardstick) -> tuple[Bucket, str] | None:
    if vm.instance_state in ("stopped", "stopping"):
        return Bucket.STOPPED, f"its instance is {vm.instance_state}"
    if failure := _failure(vm, yard):
        return Bucket.FAILED, failure
    mute = yard.mute_before and vm.reporter and vm.heard_at and vm.heard_at < yard.mute_before
    return (Bucket.SILENT, f"not heard of for more than {_span(yard.health.silent)}") if mute else None


def _failure(vm: Vm, yard: Yardstick) -> str:
    if vm.status is VmStatus.ERROR:
        return "it reports the status error"
    if vm.gpu_health is GpuHealth.UNHEALTHY and vm.spec.gpu and yard.health.gpu == "require":
        return "its GPU is Unhealthy"
    if yard.api_up_since is None or (vm.ready_at and (vm.renewing_since is None or vm.cordoned)):
        return ""  # while no API is up, nobody can say that it is ready
    deadline = (vm.renewing_since or vm.launched_at or vm.created_at) + yard.health.boot
    # After the API was away, those that booted meanwhile need a moment to get through.
    deadline = max(deadline, yard.api_up_since + min(yard.health.boot, YOUNG))
    again = " again after its last person" if vm.renewing_since else ""
    return f"did not become ready{again} within {_span(yard.health.boot)}" if deadline < yard.now else ""


def _outdated(vm: Vm, yard: Yardstick) -> str:
    """Why the declaration asks for another VM, or nothing. Another version of the hash says nothing about the VM."""
    pool, current = yard.pool, yard.current_hash
    if pool is None or current is None:
        return ""
    if vm.region != pool.region:
        return f"it is in {vm.region}, the pool in {pool.region}"
    if vm.spec_hash != current and vm.spec_hash.partition(":")[0] == current.partition(":")[0]:
        return "its spec is not the declared one"
    if vm.spec.instance_type not in pool.instance_type:
        return f"its instance type {vm.spec.instance_type} is not in the list"
    zone = vm.zone or vm.spec.zone
    return f"its zone {zone} is not in the list" if pool.zones and zone and zone not in pool.zones else ""


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
