"""Steps that deal with VMs that do not work: give up on free ones, start stopped ones in use, tell of the rest. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from schemas.decision import EndVm, MarkLost, RebootVm, StartVm
from schemas.vm import Bucket, Phase

from controller.decide.classify import RELEASED, REPLACED, Judged, is_taken
from controller.decide.names import clock, counted, listed
from controller.decide.work import Work

REBOOTABLE = frozenset({Bucket.FAILED, Bucket.SILENT})
REBOOT_TIME = timedelta(minutes=5)
"""What a reboot takes; how long the VM may then be silent comes on top."""
REBOOT_AGAIN = timedelta(days=1)


def give_up_on_broken(work: Work) -> Work:
    """Free ones that failed, fell silent or stopped are ended; rows whose instance is gone are marked lost.

    Too many at once are left as they are, but for those that the declared size does not ask for anyway.
    """
    broken = [one for one in work.broken if one.vm.phase is Phase.LIVE and one.vm.hostname not in work.acted]
    if work.no_repair:
        surplus = max(0, work.capacity + len(broken) - work.view.size)
        for one in broken[surplus:]:
            work = work.hold(f"replace {one.vm.hostname}", f"{work.no_repair} ({one.bucket}: {one.reason})")
        broken = broken[:surplus]
    broken, work = _reboot_first(work, broken)
    short = work.view.size - work.capacity
    return work.act_on([(one, _give_up(one, index < short, _moves(work, one))) for index, one in enumerate(broken)])


def _moves(work: Work, one: Judged) -> bool:
    """Whether who had it gets another one: where that is declared, and always where AWS took it back."""
    pool = work.view.declared
    return pool is not None and is_taken(one.vm) and (pool.health.assigned == "replace" or one.vm.spec.market == "spot")


def _reboot_first(work: Work, broken: list[Judged]) -> tuple[list[Judged], Work]:
    """Where that is declared, what may come back by a reboot gets one, and the time for it; the others are left to be given up."""
    pool, now = work.view.declared, work.view.world.now
    if pool is None or not pool.health.reboot_first:
        return broken, work
    hopeful = [one for one in broken if one.bucket in REBOOTABLE and one.vm.instance_state == "running"]
    new = [one for one in hopeful if one.vm.reboot_asked_at is None or now - one.vm.reboot_asked_at > REBOOT_AGAIN]
    waiting = [one for one in hopeful if one not in new and now < _chance_ends(one, pool.health.silent)]
    work = work.act_on([(one, _reboot(one)) for one in new])
    for one in waiting:
        until = _chance_ends(one, pool.health.silent)
        work = work.hold(f"replace {one.vm.hostname}", f"it was rebooted and has until {clock(until)}").wait_until(
            until
        )
    spared = {one.vm.hostname for one in (*new, *waiting)}
    work = replace(work, rebooting=len(spared))
    return [one for one in broken if one.vm.hostname not in spared], work


def _chance_ends(one: Judged, silent: timedelta) -> datetime:
    return (one.vm.reboot_asked_at or one.vm.created_at) + REBOOT_TIME + silent


def _reboot(one: Judged) -> RebootVm:
    reason = f"{one.bucket}: {one.reason}; rebooted before it is replaced"
    return RebootVm(pool=one.vm.pool, hostname=one.vm.hostname, version=one.vm.version, reason=reason)


def _give_up(one: Judged, replaced: bool, moves: bool) -> EndVm | MarkLost:
    vm = one.vm
    if one.bucket is Bucket.LOST:
        return MarkLost(pool=vm.pool, hostname=vm.hostname, version=vm.version, reason=one.reason, moves=moves)
    return end(one, f"{one.bucket}: {one.reason}; {REPLACED if replaced else 'not needed any more'}")


def end(one: Judged, reason: str) -> EndVm:
    return EndVm(pool=one.vm.pool, hostname=one.vm.hostname, version=one.vm.version, reason=reason)


def leave_reclaimed(work: Work) -> Work:
    """What AWS takes back is replaced at once; who has one is warned by `end_sessions` and keeps it to its end."""
    return work.act_on([(one, end(one, f"{one.reason}; {REPLACED}")) for one in work.of(Bucket.RECLAIMED)])


def end_released(work: Work) -> Work:
    """A VM that had a user goes to no other one."""
    released = [one for one in work.of(Bucket.DRAINING) if one.vm.phase is Phase.LIVE]
    return work.act_on([(one, end(one, RELEASED)) for one in released])


def start_stopped(work: Work) -> Work:
    """Once: who stops it again means it. A broken VM in use is never ended; its condition calls somebody."""
    in_use = [one for one in work.of(Bucket.ASSIGNED) if one.trouble]
    starts = [(one, _start(one)) for one in in_use if one.vm.instance_state == "stopped" and not one.vm.started_at]
    if in_use:
        troubles = listed([f"{one.vm.hostname}: {one.trouble}" for one in in_use])
        work = work.find("VmUnhealthy", "InUse", f"{counted(len(in_use), 'VM')} in use with trouble: {troubles}")
    return work.act_on([(one, start) for one, start in starts if start])


def _start(one: Judged) -> StartVm | None:
    vm = one.vm
    if vm.instance_id is None:
        return None
    reason = "its instance was stopped while it is in use"
    return StartVm(pool=vm.pool, hostname=vm.hostname, version=vm.version, instance_id=vm.instance_id, reason=reason)
