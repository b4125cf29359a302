"""Steps that bring the number of VMs to the declared one. Pure.

A declared size is somebody's word and acts at once; the minimum age of 15 minutes and the stabilisation of 10 belong to
sizes that follow demand, where the number itself is a guess.
"""

from dataclasses import replace
from datetime import datetime

from schemas.decision import CreateVm
from schemas.lab import Pool
from schemas.pool import LATELY
from schemas.spec import spec_hash
from schemas.vm import Bucket

from controller.decide.capacity import NoPlace, Place, Refused, choose_place
from controller.decide.classify import REPLACED, Judged
from controller.decide.demand import MINIMUM_AGE
from controller.decide.made_of import vm_spec
from controller.decide.names import clock, counted, listed
from controller.decide.repair import end
from controller.decide.shards import allot_shards, last_shard, rows_by_shard
from controller.decide.work import BROKEN, Work

# Who goes first when there are too many: what costs least to lose. Those in use are not on the list.
ORDER = (Bucket.PLANNED, Bucket.BOOTING, Bucket.OUTDATED, Bucket.READY)

QUOTA_ADVICE = "ask for more in the console of Service Quotas, or declare fewer or other VMs"
PATIENCE = "each ends when it is 15 minutes old and nobody has left for 10"


def set_demand(work: Work) -> Work:
    """The size that is wanted now, and the ceiling: above the size by `surge` while something is being replaced, and only then."""
    view = work.view
    surge = view.declared.update.surge if view.declared and _is_replacing(view.vms) else 0
    return replace(work, target=view.size, ceiling=max(view.want.most, view.size + surge))


def _is_replacing(vms: tuple[Judged, ...]) -> bool:
    return any(
        one.bucket in BROKEN
        or one.bucket in (Bucket.OUTDATED, Bucket.RECLAIMED)
        or one.reclaimed
        or (one.bucket is Bucket.DRAINING and REPLACED in one.reason)
        for one in vms
    )


def scale_in(work: Work) -> Work:
    """Ends free VMs above the target; those in use stay, however many they are."""
    want, kept = work.view.want, {one.vm.hostname for one in work.staying if _is_kept(work, one)}
    excess = work.capacity - max(work.target, len(kept))
    if excess <= 0:
        return work
    free = sorted((one for one in work.of(*ORDER) if one.vm.hostname not in kept), key=_dispensable)
    reason = f"more VMs than the {want.words}" if work.view.declared else "its pool was removed"
    going = _not_needed(work, free, excess) if want.elastic else free[:excess]
    patient = min(excess, len(free)) - len(going)
    work = work.act_on([(one, end(one, reason)) for one in going])
    if patient:
        what = f"more than the {want.words}; kept while demand may come back: {PATIENCE}"
        work = work.hold(f"end {counted(patient, 'VM')}", what).wait_until(_patience_ends(work, free))
    if excess > len(free):
        what = counted(excess - len(free), "VM")
        work = work.hold(f"end {what}", f"{what} more than declared, all in use: each ends when it is released")
    return work


def _is_kept(work: Work, one: Judged) -> bool:
    """Made for a window whose end lets VMs stay. An edit of the pool since then is somebody's newer word."""
    kept_since, vm = work.view.want.kept_since, one.vm
    return kept_since is not None and vm.created_at < kept_since and vm.generation == work.view.row.generation


def _not_needed(work: Work, free: list[Judged], excess: int) -> list[Judged]:
    """Above `max` at once; above the demand what is old enough, but for as many as left lately.

    A young one is never spared at the cost of an older one that somebody could have now.
    """
    above_most = max(0, work.capacity - max(work.view.want.most, work.target))
    dispensable = free[above_most : max(above_most, excess - work.view.asked.left)]
    old = [one for one in dispensable if work.view.world.now - one.vm.created_at >= MINIMUM_AGE]
    return free[:above_most] + old


def _patience_ends(work: Work, free: list[Judged]) -> datetime | None:
    """The next moment at which one more of these may end."""
    left_at, now = work.view.asked.left_at, work.view.world.now
    ends = [one.vm.created_at + MINIMUM_AGE for one in free if one.vm.hostname not in work.acted]
    return min([at for at in (*ends, left_at + LATELY if left_at else now) if at > now], default=None)


def _dispensable(one: Judged) -> tuple[int, bool, float, int]:
    kept = not one.vm.cordoned  # among ready ones: nobody is given a cordoned one
    return ORDER.index(one.bucket), kept, -one.vm.created_at.timestamp(), -one.number


def leave_refused_places(work: Work) -> Work:
    """Planned VMs whose place AWS has refused meanwhile are decided anew elsewhere, as long as there is an elsewhere."""
    view, pool = work.view, work.view.declared
    if pool is None or work.no_create or not view.world.refusals:
        return work
    refused = _refused(work, pool)
    elsewhere = choose_place(pool, refused)
    if isinstance(elsewhere, NoPlace) or elsewhere.without_quota:
        return work
    met = {stranger.row.hostname for stranger in view.strangers if stranger.row}
    stuck = [
        (one, end(one, f"AWS refused {spec.instance_type} in {spec.zone or spec.region}; {REPLACED} by one elsewhere"))
        for one in work.of(Bucket.PLANNED)
        if (refused.opens_at((spec := one.vm.spec).instance_type, spec.zone) or spec.instance_type in refused.no_quota)
        and not view.in_progress(one.vm)
        and one.vm.hostname not in met
    ]
    return work.act_on(stuck)


def _refused(work: Work, pool: Pool) -> Refused:
    return Refused.of(work.view.world.refusals, pool, work.view.world.now)


def watch_quota(work: Work) -> Work:
    """Told apart from a lack of machines: no waiting helps, a person has to ask for more or declare less."""
    pool = work.view.declared
    used_up = [one for one in pool.instance_type if one in _refused(work, pool).no_quota] if pool else []
    if not used_up or pool is None:
        return work
    message = f"the account's quota for {listed(used_up)} ({pool.market}) is used up in {pool.region}: {QUOTA_ADVICE}"
    return work.find("QuotaReached", "UsedUp", message)


def scale_out(work: Work) -> Work:
    """Creates what is missing, as far as the ceiling, the hold-backs and the capacity of AWS allow."""
    kept = len(work.broken) if work.no_repair else work.rebooting
    wanted = work.target - work.capacity - work.adopted - kept
    pool, ami = work.view.declared, work.view.row.ami
    if wanted <= 0 or pool is None:
        return work
    refused = work.view.closed("create", pool.region) or work.no_create
    if refused or ami is None:
        return work.hold(f"create {wanted}", refused or "the AMI is not resolved yet")
    number, work = _room(work, wanted)
    if number <= 0:
        return work
    place = choose_place(pool, _refused(work, pool))
    if isinstance(place, NoPlace):
        return _lacking(work, place, number)
    return work.act(pool.region, _creations(work, pool, ami, place, number))


def _room(work: Work, wanted: int) -> tuple[int, Work]:
    """How many may be created now, and what the others wait for."""
    vms, room = work.view.vms, max(0, work.ceiling - work.view.present)
    if room < wanted:
        short = wanted - room
        leaving = any(one.bucket in (Bucket.DRAINING, Bucket.LOST) or one.vm.hostname in work.leaving for one in vms)
        reason = f"waits for {counted(short, 'VM')} to end" if leaving else f"{work.view.present} exist already"
        work = work.hold(f"create {short}", f"{reason}: the ceiling is {work.ceiling}")
    number, batch = min(wanted, room), work.view.row.batch
    if batch is None:
        return number, work
    in_flight = sum(one.bucket is Bucket.PLANNED for one in vms)
    allowed = max(0, batch - in_flight)
    if allowed < number:
        reason = f"after a failed run only {batch} at a time are created, and {in_flight} are on their way"
        work = work.hold(f"create {number - allowed}", reason)
    return min(number, allowed), work


def _lacking(work: Work, none: NoPlace, number: int) -> Work:
    message = f"AWS refused {', '.join(none.passed)}; tried again at {clock(none.again_at)}"
    work = work.find("CapacityLacking", "Refused", message).wait_until(none.again_at)
    return work.hold(f"create {number}", message)


def _creations(work: Work, pool: Pool, ami: str, place: Place, number: int) -> list[CreateVm]:
    view = work.view
    spec, made_of = vm_spec(pool, view.row, ami, place), spec_hash(pool, ami, view.row.startup_script)
    shards = allot_shards(rows_by_shard(work, pool.region), last_shard(work), number)
    reason = f"{view.want.why}, {work.capacity + work.adopted} there or on their way"
    if work.target > view.size:
        reason += f"; {work.target - view.size} more while outdated ones are replaced"
    if place.passed:
        reason += f"; AWS just refused {', '.join(place.passed)}"
    return [
        CreateVm(
            pool=view.name,
            hostname=view.world.naming.host(view.name, n),
            number=n,
            shard=shard,
            spec=spec,
            spec_hash=made_of,
            reason=reason,
        )
        for n, shard in enumerate(shards, view.highest + 1)
    ]
