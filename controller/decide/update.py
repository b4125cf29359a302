"""Steps that replace outdated VMs, and those that drifted where that is declared: `surge` new ones above the size first, or `unavailable` old ones away first. Pure.

With a surge an old VM goes only when a new one is ready, so that the declared number stays usable. VMs in use wait for
their release, whatever is declared.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from schemas.vm import Bucket

from controller.decide.classify import REPLACED, Judged
from controller.decide.drift_watch import doubt_of_correcting
from controller.decide.names import counted, listed
from controller.decide.repair import end
from controller.decide.work import Work

STALLED_FOR = timedelta(hours=1)


def allow_surge(work: Work) -> Work:
    """Raises the target while free outdated VMs have to be replaced, unless the new ones turn out to be broken."""
    view = work.view
    outdated = _replaceable(work)
    if not outdated or view.declared is None:
        return work
    work = _stall(work)
    if work.no_update or work.no_repair:
        return work
    in_use = sum(one.bucket is Bucket.ASSIGNED for one in view.vms)
    surge = min(view.declared.update.surge, len(outdated), max(0, view.size - in_use))
    return replace(work, target=work.target + surge)


def _replaceable(work: Work) -> list[Judged]:
    """Without those that drifted, while they are so many that a person should look."""
    doubt = doubt_of_correcting(work)
    return [one for one in work.of(Bucket.OUTDATED) if one.outdated or not doubt]


def _stall(work: Work) -> Work:
    """New VMs that fail stop the replacing; tried again after an hour, or when another spec is declared."""
    view = work.view
    failed = [one.vm.hostname for one in view.vms if one.vm.spec_hash == view.current_hash and _failed(one)]
    if failed:
        message = f"new VMs of spec {view.current_hash} failed ({listed(failed)}): the outdated ones stay"
    else:
        before = view.row.conditions.get("UpdateStalled")
        if before is None or not before.status or str(view.current_hash) not in before.message:
            return work
        again_at = before.since + STALLED_FOR
        if again_at <= view.world.now:
            return work
        message = before.message
        work = work.wait_until(again_at)
    return replace(work.find("UpdateStalled", "NewOnesFail", message), no_update=message)


def _failed(one: Judged) -> bool:
    """Also when it was given up already: its row tells so as long as it drains."""
    gave_up = one.bucket is Bucket.DRAINING and one.reason.startswith(f"{Bucket.FAILED}:")
    return one.bucket is Bucket.FAILED or gave_up


def replace_outdated(work: Work) -> Work:
    view = work.view
    for one in view.vms:
        if one.bucket is Bucket.ASSIGNED and one.outdated:
            work = work.hold(f"replace {one.vm.hostname}", f"{one.outdated}; in use, so it waits for its release")
    unmade = [one for one in work.of(Bucket.PLANNED) if one.outdated and not view.in_progress(one.vm)]
    work = work.act_on([(one, end(one, f"decided for an older declaration; {REPLACED}")) for one in unmade])
    outdated = _replaceable(work)
    if waiting := len(work.of(Bucket.OUTDATED)) - len(outdated):
        work = work.hold(f"replace {counted(waiting, 'VM')} that drifted", doubt_of_correcting(work))
    if not outdated or view.declared is None:
        return work
    if refused := work.no_update or work.no_repair:
        return work.hold(f"replace {counted(len(outdated), 'outdated VM')}", refused)
    going = _going(work, outdated)
    work = work.act_on([(one, end(one, f"outdated: {one.reason}; {REPLACED}")) for one in going])
    if waiting := len(outdated) - len(going):
        return work.hold(f"replace {counted(waiting, 'outdated VM')}", _wait(work))
    return work


def _going(work: Work, outdated: Sequence[Judged]) -> list[Judged]:
    """Those that may end now: booting ones as long as the number holds, usable ones as long as enough others are."""
    update = work.view.declared.update if work.view.declared else None
    spared = 0 if update is None or update.surge or work.no_create else update.unavailable
    floor = max(0, work.view.size - spared)
    by_age = sorted(outdated, key=lambda one: (not one.vm.cordoned, one.vm.created_at, one.number))
    booting = [one for one in by_age if not one.usable][: max(0, work.capacity - floor)]
    ready = [one for one in by_age if one.usable]
    left = min(work.usable, work.capacity - len(booting)) - floor
    return booting + ready[: max(0, left)]


def _wait(work: Work) -> str:
    update = work.view.declared.update if work.view.declared else None
    if update and update.surge:
        return "waits until a new VM is ready"
    return f"at most {counted(update.unavailable if update else 0, 'VM')} may be missing at a time"
