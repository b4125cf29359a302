"""The last step: what holds of a pool now, as conditions and figures. Pure.

A condition keeps its `since` while its status stays; messages name no ages, so that an idle tick changes nothing.
Conditions of other types are somebody else's (actuation's `PlanRefused`) and pass through.
"""

from collections import Counter
from datetime import datetime
from functools import lru_cache

from schemas.decision import Opening, PoolOutlook
from schemas.status import Condition
from schemas.vm import Bucket

from controller.decide.course import opening_of
from controller.decide.names import counted
from controller.decide.schedule import SHOWN, openings
from controller.decide.survey import PoolView
from controller.decide.work import Finding, Work

SETTLED = frozenset({Bucket.READY, Bucket.ASSIGNED})
# What holds when no step found otherwise, and whether that is so.
USUAL = (
    (Finding("Paused", "NotPaused", "the pool is acted on"), False),
    (Finding("DecisionRefused", "NoRuleBroken", "what was decided keeps all rules"), False),
    (Finding("AmiResolved", "Resolved", "the AMI is known"), True),
    (Finding("FleetSuspect", "AsExpected", "losses and riddles are few"), False),
    (Finding("TooManyUnhealthy", "Healthy", "few enough VMs are unhealthy to be replaced"), False),
    (Finding("VmUnhealthy", "Healthy", "no VM in use has trouble"), False),
    (Finding("Stalled", "NoFailures", "runs do not fail one after another"), False),
    (Finding("BackingOff", "NoPause", "nothing waits after a failure"), False),
    (Finding("CapacityLacking", "NotRefused", "AWS has not refused every place"), False),
    (Finding("QuotaReached", "WithinQuotas", "no quota of the account holds growth back"), False),
    (Finding("BudgetReached", "WithinBudget", "no budget holds growth back"), False),
    (Finding("ApprovalNeeded", "NotNeeded", "growth waits for nobody's approval"), False),
    (Finding("UpdateStalled", "NotStalled", "new VMs do not fail"), False),
    (Finding("Drifted", "AsMade", "no instance was changed by hand"), False),
    (Finding("CourseShort", "SeatsThere", "no course lacks seats that are due"), False),
    (Finding("OrphansFound", "NoneFound", "every instance with this pool's tags has a row or will have one"), False),
)


def conclude(work: Work) -> PoolOutlook:
    view = work.view
    buckets = view.counts.copy()
    for stranger in view.strangers:
        if stranger.counts:
            buckets[Bucket.DUPLICATE if stranger.kind == "duplicate" else Bucket.ORPHAN] += 1
    findings = [_observed(view), _ready(work), _converged(work)]
    found = {finding.type: finding for finding in work.findings}
    conditions = dict(view.row.conditions)
    for usual, status in USUAL:
        other = found.get(usual.type)
        conditions[usual.type] = _condition(view, other or usual, status if other is None else not status)
    for finding, status in findings:
        conditions[finding.type] = _condition(view, finding, status)
    return PoolOutlook(
        name=view.name,
        declared=view.size,
        ceiling=work.ceiling,
        present=view.present,
        buckets=dict(sorted(buckets.items())),
        converged=conditions["Converged"].status,
        conditions=tuple(conditions[kind] for kind in sorted(conditions)),
        next_at=work.next_at,
        openings=_openings(view),
    )


def _openings(view: PoolView) -> tuple[Opening, ...]:
    """Windows and courses, those first that come first."""
    if view.declared is None:
        return ()
    now = view.world.now
    courses = (opening_of(planned, now, view.free) for planned in view.courses if now < planned.course.to_at)
    return tuple(sorted((*openings(view.declared, now), *courses), key=lambda one: one.from_at)[:SHOWN])


def _observed(view: PoolView) -> tuple[Finding, bool]:
    regions = sorted(view.standing | ({view.region} if view.declared else set()))
    unread = [region for region in regions if region not in view.world.listed_at]
    if unread:
        message = f"the listing of {', '.join(unread)} could not be read whole: nothing is done there"
        return Finding("Observed", "ListingFailed", message), False
    return Finding("Observed", "Listed", "the instances are known"), True


def _ready(work: Work) -> tuple[Finding, bool]:
    size, usable = work.view.size, sum(one.usable for one in work.view.vms)
    message = f"{usable} usable, {work.view.want.words}"
    return (
        (Finding("Ready", "Usable", message), True) if usable >= size else (Finding("Ready", "Missing", message), False)
    )


def _converged(work: Work) -> tuple[Finding, bool]:
    """Equal to the declaration, and nothing to do or held back."""
    view = work.view
    odd = Counter(one.bucket for one in view.vms if one.bucket not in SETTLED)
    if work.actions:
        return Finding("Converged", "Working", f"{counted(len(work.actions), 'action')} in this tick"), False
    if work.held:
        first = work.held[0]
        more = f", and {len(work.held) - 1} more" if len(work.held) > 1 else ""
        return Finding("Converged", "HeldBack", f"{first.what}: {first.reason}{more}"), False
    if odd:
        message = ", ".join(f"{number} {bucket}" for bucket, number in sorted(odd.items()))
        return Finding("Converged", "Working", message), False
    if not _observed(view)[1] or (view.declared and view.row.ami is None):
        return Finding("Converged", "NotKnown", "what should be or what is there is not known yet"), False
    return Finding("Converged", "AsDeclared", view.want.words), True


def _condition(view: PoolView, finding: Finding, status: bool) -> Condition:
    before = view.row.conditions.get(finding.type)
    if before is None or before.status != status:
        return _new_condition(finding, status, view.world.now)
    if (before.reason, before.message) == (finding.reason, finding.message):
        return before
    return before.model_copy(update={"reason": finding.reason, "message": finding.message})


@lru_cache(maxsize=256)
def _new_condition(finding: Finding, status: bool, since: datetime) -> Condition:
    """Pools that are seen for the first time together share what is usual of all of them."""
    return Condition(type=finding.type, status=status, reason=finding.reason, message=finding.message, since=since)
