"""Steps that bring the record in line with what exists: rows that are over, instances that want a row. Pure.

Each rests on two looks, and on no Terraform being at work on the shard: a run in progress explains what it makes and ends.
"""

from datetime import timedelta

from schemas.decision import AdoptVm, EndInstance, MarkGone, RecordInstance
from schemas.lab import Pool
from schemas.spec import HASH_VERSION, VmSpec
from schemas.vm import Bucket, Instance, Phase

from controller.decide.capacity import Place
from controller.decide.classify import Judged
from controller.decide.made_of import vm_spec
from controller.decide.names import counted
from controller.decide.shards import SHARD_SIZE, allot_shards, last_shard, rows_by_shard
from controller.decide.strangers import Kind, Stranger
from controller.decide.survey import PoolView
from controller.decide.work import Work

ADOPTED_HASH = f"v{HASH_VERSION}:adopted"
"""Equal to no spec's: what is adopted without a known origin is outdated, and a clean VM takes its place."""
AFTER_RUN = timedelta(seconds=5)
ORPHAN_AGE = timedelta(hours=24)


def mark_gone(work: Work) -> Work:
    """Rows of which neither AWS nor Terraform's state holds anything any more."""
    seen = {stranger.row.hostname for stranger in work.view.strangers if stranger.row}
    actions = []
    for one in work.of(Bucket.DRAINING, Bucket.LOST):
        if reason := _over(one, work.view, one.vm.hostname in seen):
            vm = one.vm
            action = MarkGone(pool=vm.pool, hostname=vm.hostname, version=vm.version, reason=reason)
            actions.append((one, action))
    return work.act_on(actions)


def _over(one: Judged, view: PoolView, name_seen: bool) -> str:
    vm = one.vm
    if vm.in_state or vm.phase not in (Phase.DRAINING, Phase.LOST) or view.has_open_run(vm):
        return ""
    if vm.instance_state == "terminated":
        return "its instance is terminated"
    if vm.phase is Phase.LOST:
        # One that is still shutting down costs and counts; one that came back is met as an orphan with a past.
        return "" if vm.instance_state == "shutting-down" else "its instance is gone, and Terraform has forgotten it"
    listed_at = view.world.listed_at.get(vm.region)
    if listed_at is None:
        return ""
    if vm.instance_id is None:
        return "it never had an instance" if not name_seen and _untouched(one, view) else ""
    missing = vm.missing_since is not None and listed_at - vm.missing_since >= view.world.settle
    return "its instance is absent from two listings" if missing else ""


def _untouched(one: Judged, view: PoolView) -> bool:
    """Whether no run, all of which are closed, can have made an instance that the listing does not show yet."""
    vm, run = one.vm, view.run_of(one.vm)
    if run is None or run.ended_at is None or run.ended_at < vm.created_at:
        return True
    margin = view.world.settle if run.outcome == "interrupted" else AFTER_RUN
    return view.world.listed_at[vm.region] - run.ended_at >= margin


def record_instances(work: Work) -> Work:
    """Rows whose run was killed between making the instance and telling of it."""
    for stranger in _settled(work, Kind.UNRECORDED):
        row = stranger.row
        if row and row.phase is not Phase.LOST and row.hostname not in work.acted and not work.view.in_progress(row):
            action = RecordInstance(
                pool=row.pool,
                hostname=row.hostname,
                version=row.version,
                instance_id=stranger.instance.instance_id,
                reason=f"{stranger.reason}: seen twice, and no run is at work",
            )
            work = work.act(stranger.instance.region, [action])
    return work


def end_duplicates(work: Work) -> Work:
    """Of two instances with one name, the one that the row does not hold."""
    for stranger in _settled(work, Kind.DUPLICATE):
        row = stranger.row
        if row and row.instance_id is not None and not work.view.in_progress(row):
            work = _terminate(work, stranger, stranger.reason)
    return work


def adopt_explained(work: Work) -> Work:
    """Also above the ceiling: the instance is there already, and as a row it can be scaled in."""
    for stranger in _settled(work, Kind.EXPLAINED):
        former, pool = stranger.row, work.view.declared
        if former:
            work = _adopt(work, stranger, former.spec, former.spec_hash)
        elif pool:
            work = _adopt(work, stranger, *_spec_of(work.view, pool, stranger.instance))
    return work


def _adopt(work: Work, stranger: Stranger, spec: VmSpec, spec_hash: str) -> Work:
    region, former = stranger.instance.region, stranger.row
    held = rows_by_shard(work, region)
    keeps = former is not None and 0 < held[former.shard] < SHARD_SIZE
    action = AdoptVm(
        pool=work.view.name,
        hostname=str(stranger.instance.hostname),
        number=stranger.number,
        shard=former.shard if former and keeps else allot_shards(held, last_shard(work), 1)[0],
        instance_id=stranger.instance.instance_id,
        spec=spec,
        spec_hash=spec_hash,
        reason=f"{stranger.reason}: seen twice",
    )
    return work.act(region, [action])


def _spec_of(view: PoolView, pool: Pool, instance: Instance) -> tuple[VmSpec, str]:
    """The declared spec as far as the instance has it; what it was started with beyond that is not known."""
    spec = vm_spec(pool, view.row, instance.image_id, Place(instance.instance_type, instance.zone or ""))
    alike = instance.image_id == view.row.ami and instance.instance_type in pool.instance_type
    return spec, view.current_hash if alike and view.current_hash else ADOPTED_HASH


def report_orphans(work: Work) -> Work:
    """Told as a condition; ended only where that is declared, and a day after they were first seen."""
    orphans = [stranger for stranger in work.view.strangers if stranger.kind is Kind.ORPHAN]
    if not orphans:
        return work
    message = "; ".join(stranger.reason for stranger in orphans[:5])
    work = work.find("OrphansFound", "Unexplained", f"{counted(len(orphans), 'instance')} without a row: {message}")
    for stranger in _settled(work, Kind.ORPHAN):
        seen_for = work.view.world.listed_at[stranger.instance.region] - stranger.instance.first_seen_at
        if work.view.declared and work.view.declared.orphans == "terminate" and seen_for >= ORPHAN_AGE:
            work = _terminate(work, stranger, f"{stranger.reason}, for more than a day")
    return work


def _settled(work: Work, kind: Kind) -> list[Stranger]:
    """Those that live and were seen by two looks; what shuts down already needs nothing more."""
    return [one for one in work.view.strangers if one.kind is kind and one.settled and one.alive]


def _terminate(work: Work, stranger: Stranger, reason: str) -> Work:
    instance = stranger.instance
    if instance.verdict is not None:
        return work  # said before; actuation is at it
    action = EndInstance(pool=work.view.name, instance_id=instance.instance_id, reason=reason)
    return work.act(instance.region, [action])
