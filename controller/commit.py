"""The only writer of decisions: one fenced transaction for the actions of a tick, one for what changed in its status.

What the world has moved on from is left alone (zero rows), and the next tick decides anew. A tick that changes nothing writes nothing.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from controller.world import World
from schemas.decision import (
    Action,
    AdoptVm,
    CorrectBase,
    CreateVm,
    Decision,
    EndAssignment,
    EndBase,
    EndInstance,
    EndVm,
    MarkGone,
    MarkLost,
    RebootVm,
    RecordInstance,
    ReportCourse,
    SetSession,
    StartVm,
)
from schemas.snapshot import Snapshot
from schemas.status import Condition
from store import fleet
from store.assignment import BATCH, bind_waiting, read_bindable
from store.course import report_courses
from store.db import Connection, Db, transaction
from store.event import write_event
from store.forsaken import end_forsaken, read_forsaken
from store.lease import fenced
from store.pool import set_conditions
from store.seat import lock_pool, lock_vms
from store.session import end_sessions, set_sessions
from store.tick import write_tick

ACTOR = "controller"

Write = Callable[[Connection, Sequence[Any]], Awaitable[list[str]]]

WRITES: tuple[tuple[type[Action], Write, str], ...] = (
    (MarkLost, fleet.lose_vms, "VmLost"),
    (EndAssignment, end_sessions, "SessionEnded"),
    (SetSession, set_sessions, "SessionWarned"),
    (EndVm, fleet.end_vms, "VmDraining"),
    (MarkGone, fleet.forget_vms, "VmGone"),
    (RecordInstance, fleet.record_instances, "InstanceRecorded"),
    (AdoptVm, fleet.adopt_vms, "VmAdopted"),
    (StartVm, fleet.start_vms, "VmStarting"),
    (RebootVm, fleet.reboot_vms, "VmRebooting"),
    (EndInstance, fleet.end_instances, "InstanceEnding"),
    (CreateVm, fleet.create_vms, "VmPlanned"),
    (EndBase, fleet.end_bases, "BaseEnding"),
    (CorrectBase, fleet.correct_bases, "BaseCorrecting"),
    (ReportCourse, report_courses, "CourseReport"),
)
"""The kinds of action in the order in which they are written (what ends goes before what is new), and their events' reasons."""


async def commit_decision(world: World, snapshot: Snapshot, decision: Decision) -> None:
    """Write the rows that the actions ask for, an event each, and the tick itself."""
    if not decision.actions:
        return
    by_kind: dict[type, list[Action]] = defaultdict(list)
    for action in decision.actions:
        by_kind[type(action)].append(action)
    async with fenced(world.db, world.lease) as conn:
        for pool in sorted(
            {a.pool for kind in (EndVm, MarkLost, EndAssignment, RebootVm, AdoptVm) for a in by_kind[kind]}
        ):
            await lock_pool(conn, pool)
        await lock_vms(conn, sorted({subject_of(action) for action in decision.actions}))
        for kind, write, reason in WRITES:
            written = set(await write(conn, by_kind[kind])) if by_kind[kind] else set()
            for action in by_kind[kind]:
                if (name := subject_of(action)) in written:
                    await write_event(conn, ACTOR, f"vm/{name}", reason, action.reason, {"pool": action.pool})
        await write_tick(conn, snapshot, decision)


def subject_of(action: Action) -> str:
    """The name under which an action's write is answered: a host name, an instance id, or pool/region."""
    match action:
        case EndInstance():
            return action.instance_id
        case ReportCourse():
            return f"course/{action.course}"
        case EndBase() | CorrectBase():
            return f"{action.pool}/{action.region}"
        case _:
            return action.hostname


async def commit_status(world: World, snapshot: Snapshot, decision: Decision) -> None:
    """Write the conditions that changed, each with an event; a pool at rest with its generation has met it."""
    for name, outlook in decision.pools.items():
        row = snapshot.pools[name]
        changed = [c for c in outlook.conditions if c.adds_to(row.conditions.get(c.type))]
        if not changed and (not outlook.converged or row.observed_generation == row.generation):
            continue
        async with fenced(world.db, world.lease) as conn:
            await set_conditions(conn, name, changed, row.generation, outlook.converged)
            for condition in changed:
                await _write_condition_event(conn, name, row.conditions.get(condition.type), condition)


async def bind_people(db: Db) -> None:
    """Let go of who is not there any more, and make up for bindings that a crash cut short.

    The statements take the pool's lock, as the API's do, so they need no lease.
    """
    async with db.connection() as conn:
        forsaken = await read_forsaken(conn)
    for pool in forsaken:
        async with transaction(db) as conn:
            await end_forsaken(conn, pool)
    async with db.connection() as conn:
        pools = await read_bindable(conn)
    for pool in pools:
        bound = BATCH
        while bound == BATCH:
            async with transaction(db) as conn:
                bound = len(await bind_waiting(conn, pool))


async def _write_condition_event(conn: Connection, pool: str, old: Condition | None, new: Condition) -> None:
    if not new.good if old is None else old.status != new.status:
        reason = new.type if new.status else f"Not{new.type}"
        await write_event(conn, ACTOR, f"pool/{pool}", reason, new.message, {"reason": new.reason})
