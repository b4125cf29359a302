"""Steps about instances that were changed by hand: tell of them, and keep from replacing many at once. Pure."""

from collections.abc import Sequence

from schemas.decision import CorrectBase
from schemas.pool import Base
from schemas.vm import Bucket

from controller.decide.drift import CHANGED
from controller.decide.names import counted, listed
from controller.decide.work import Work

CORRECTED_AT_ONCE = 3
CORRECTED_SHARE = 0.2


def watch_drift(work: Work) -> Work:
    """Told as a condition with the difference; many at once have one cause, which replacing them would not end."""
    view = work.view
    drifted = [one for one in view.vms if one.drift]
    bases = [base for base in view.bases if base.drift]
    if not drifted and not bases:
        return work
    told = [f"what the VMs in {base.region} share is not as made: {base.drift}" for base in bases]
    if drifted:
        words = listed([f"{one.vm.hostname}: {one.drift}" for one in drifted])
        told.append(f"{counted(len(drifted), 'VM')} not as made: {words}")
    work = _correct_bases(work.find("Drifted", "ChangedByHand", "; ".join(told)), bases)
    if view.declared is None or view.declared.drift == "report":
        return work
    for one in drifted:
        if one.bucket is Bucket.ASSIGNED and not one.outdated:
            work = work.hold(
                f"replace {one.vm.hostname}", f"{CHANGED}: {one.drift}; in use, so it waits for its release"
            )
    return work


def _correct_bases(work: Work, bases: Sequence[Base]) -> Work:
    """Once after each look; who has a VM that stands on it notices nothing, for nothing of it is ever replaced."""
    if work.view.declared is None or work.view.declared.drift == "report":
        return work
    for base in bases:
        if base.applied_hash is not None:
            action = CorrectBase(pool=base.pool, region=base.region, reason=f"{CHANGED}: {base.drift}")
            work = work.act(base.region, [action])
    return work


def doubt_of_correcting(work: Work) -> str:
    """Why what drifted is not replaced, or nothing."""
    drifted, present = sum(bool(one.drift) for one in work.view.vms), len(work.view.vms)
    if drifted <= max(CORRECTED_AT_ONCE, present * CORRECTED_SHARE):
        return ""
    return f"{drifted} of {counted(present, 'VM')} were changed at once: a person should see who does that"
