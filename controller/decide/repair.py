"""Steps that deal with VMs that do not work: give up on free ones, start stopped ones in use, tell of the rest. Pure."""

from schemas.decision import EndVm, MarkLost, StartVm
from schemas.vm import Bucket, Phase

from controller.decide.classify import RELEASED, REPLACED, Judged
from controller.decide.names import counted, listed
from controller.decide.work import Work


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
    short = work.view.size - work.capacity
    return work.act_on([(one, _give_up(one, replaced=index < short)) for index, one in enumerate(broken)])


def _give_up(one: Judged, replaced: bool) -> EndVm | MarkLost:
    vm = one.vm
    if one.bucket is Bucket.LOST:
        return MarkLost(pool=vm.pool, hostname=vm.hostname, version=vm.version, reason=one.reason)
    return end(one, f"{one.bucket}: {one.reason}; {REPLACED if replaced else 'not needed any more'}")


def end(one: Judged, reason: str) -> EndVm:
    return EndVm(pool=one.vm.pool, hostname=one.vm.hostname, version=one.vm.version, reason=reason)


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
