"""The policy: from a snapshot to a decision, pool by pool, as an ordered list of small steps. Pure.

Called by each tick of the controller, by previews and by replays; equal snapshots give equal decisions.
"""

from collections.abc import Callable

from schemas.decision import Decision, EndBase, Judgement
from schemas.snapshot import Snapshot
from schemas.vm import Bucket

from controller.decide.budget import keep_within_budget
from controller.decide.conditions import conclude
from controller.decide.course_watch import report_courses, watch_courses
from controller.decide.drift_watch import watch_drift
from controller.decide.holdbacks import hold_back
from controller.decide.recognise import (
    adopt_explained,
    end_duplicates,
    mark_gone,
    record_instances,
    report_orphans,
)
from controller.decide.repair import end_released, give_up_on_broken, leave_reclaimed, start_stopped
from controller.decide.scale import leave_refused_places, scale_in, scale_out, set_demand, watch_quota
from controller.decide.session import end_sessions
from controller.decide.strangers import Kind, Stranger
from controller.decide.survey import PoolView, survey
from controller.decide.update import allow_surge, replace_outdated
from controller.decide.work import Work

Step = Callable[[Work], Work]


def decide(snapshot: Snapshot) -> Decision:
    """Raises nothing for any snapshot that validates; `invariants.check_invariants` looks it over before it is written."""
    surveyed = survey(snapshot)
    works = keep_within_budget(snapshot, [decide_pool(view) for view in surveyed.pools])
    return Decision(
        now=snapshot.now,
        version=snapshot.version,
        actions=tuple(action for work in works for action in work.actions),
        judgements=tuple(
            judgement
            for strangers, view in (*((view.strangers, view) for view in surveyed.pools), (surveyed.homeless, None))
            for judgement in _judgements(strangers, view)
        ),
        held=tuple(held for work in works for held in work.held),
        pools={work.view.name: conclude(work) for work in works},
    )


def decide_pool(view: PoolView) -> Work:
    """Rows come judged; each step adds what it decides and leaves alone whom an earlier step has decided about."""
    steps: tuple[Step, ...] = (
        set_demand,
        hold_back,
        allow_surge,
        mark_gone,
        record_instances,
        adopt_explained,
        end_duplicates,
        report_orphans,
        give_up_on_broken,
        leave_reclaimed,
        end_released,
        start_stopped,
        end_sessions,
        scale_in,
        replace_outdated,
        leave_refused_places,
        scale_out,
        watch_quota,
        end_bases,
        watch_drift,
        watch_courses,
        report_courses,
    )
    work = Work(view)
    for step in steps:
        work = step(work)
    return work


def end_bases(work: Work) -> Work:
    """The base of a region that the pool has left, once nothing stands on it any more."""
    view = work.view
    for base in view.bases:
        if base.region != view.region and base.region not in view.standing:
            where = f"the pool is in {view.region}" if view.declared else "its pool was removed"
            action = EndBase(pool=view.name, region=base.region, reason=f"{where}, and no VM is left")
            work = work.act(base.region, [action])
    return work


def _judgements(strangers: tuple[Stranger, ...], view: PoolView | None) -> list[Judgement]:
    judged = [
        Judgement(subject=one.vm.hostname, pool=one.vm.pool, bucket=one.bucket, reason=one.reason)
        for one in (view.vms if view else ())
    ]
    for stranger in strangers:
        if stranger.kind is not Kind.UNRECORDED:
            bucket = Bucket.DUPLICATE if stranger.kind is Kind.DUPLICATE else Bucket.ORPHAN
            judged.append(
                Judgement(subject=stranger.subject, pool=stranger.pool, bucket=bucket, reason=stranger.reason)
            )
    return judged
