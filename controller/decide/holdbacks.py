"""The step that says what must not be done to a pool now, and why: failures, too many broken VMs, no AMI. Pure."""

from dataclasses import replace

from schemas.pool import GIVEN_UP_FOR

from controller.decide.backoff import is_stalled, waits_until
from controller.decide.names import clock, counted
from controller.decide.work import Work

REPAIRED_AT_ONCE = 3
REPAIRED_SHARE = 0.2
CONFIRM = (
    "If the lost ones are really gone, say so: `lablink retry POOL` gives up all of a pool, POST /api/v1/vms/NAME/replace "
    "one; instances that nothing explains are passed over after an hour"
)


def hold_back(work: Work) -> Work:
    """Deletes are never held back by failures of creating."""
    return _after_failures(_too_many_broken(_everywhere(work)))


def _everywhere(work: Work) -> Work:
    world, view = work.view.world, work.view
    if world.suspect:
        work = work.find("FleetSuspect", "TooMuchAtOnce", f"{world.suspect}. {CONFIRM}")
    if view.declared and view.declared.paused:
        work = work.find("Paused", "Declared", "the pool is paused: it is observed and reported only")
    if view.declared and view.row.ami is None:
        message = "the declared AMI is not resolved to an id yet: nothing is created, nobody is outdated"
        return work.find("AmiResolved", "NotResolved", message)
    return work


def _too_many_broken(work: Work) -> Work:
    """Many at once, or one after another, have one cause, and replacing them would repeat it: creations would have no end.

    A pool without VMs declared repairs nothing.
    """
    view, broken, present = work.view, len(work.broken), len(work.view.vms)
    most = max(REPAIRED_AT_ONCE, present * REPAIRED_SHARE)
    before = view.given_up.number if view.given_up else 0
    if not broken or broken + before <= most or not view.size:
        return work
    message = f"{broken} of {counted(present, 'VM')} are unhealthy at once: no repairs, a person is needed"
    if view.given_up and broken <= most:
        again_at = view.given_up.first_at + GIVEN_UP_FOR
        message = (
            f"{counted(before, 'VM')} like those that are made now broke within an hour, and {broken} more of {present} did: "
            f"no repairs before {clock(again_at)}, a person is needed"
        )
        work = work.wait_until(again_at)
    way_out = f"{message}; `lablink retry {view.name}` replaces them all the same"
    return replace(work.find("TooManyUnhealthy", "PersonNeeded", way_out), no_repair=message)


def _after_failures(work: Work) -> Work:
    row = work.view.row
    cause = f" ({row.failure})" if row.failure else ""
    if is_stalled(row):
        message = f"{row.failures} failed runs in a row{cause}: tried again ever more rarely, a person should look"
        work = work.find("Stalled", "FailuresInARow", message)
    until = waits_until(row, work.view.world.now)
    if until is None:
        return work
    message = f"waits until {clock(until)} after {counted(row.failures, 'failed run')} in a row{cause}"
    return replace(work.find("BackingOff", "AfterFailure", message), no_create=message).wait_until(until)
