"""What no decision may ever do, checked by other code than that which decided, before each commit. Pure.

A violation is a bug, never bad luck: nothing of the pool that it concerns is written, and the next tick decides anew.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from schemas.calendar import open_span
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
    PoolOutlook,
    RecordInstance,
    ReportCourse,
    StartVm,
)
from schemas.lab import Pool
from schemas.snapshot import Snapshot
from schemas.status import Condition
from schemas.vm import Bucket, Phase, Seat, Vm

from controller.decide.classify import REPLACED, is_reclaimed, is_taken
from controller.decide.shards import SHARD_SIZE
from controller.decide.spending import find_overspending

REFUSED = "DecisionRefused"
REPLACING = frozenset({Bucket.OUTDATED, Bucket.RECLAIMED, Bucket.FAILED, Bucket.SILENT, Bucket.LOST, Bucket.STOPPED})


class InvariantViolated(Exception):
    """The sentence says which rule, and by what; `pool` whose actions must not be written (None: nobody's)."""

    def __init__(self, sentence: str, pool: str | None = None) -> None:
        super().__init__(sentence)
        self.pool = pool


def drop_unlawful(snapshot: Snapshot, decision: Decision) -> Decision:
    """The decision without the actions of pools that break a rule, which their condition `DecisionRefused` then says.

    One pool's trouble never delays another's. Raises `InvariantViolated` where the trouble is nobody's in particular.
    """
    while True:
        try:
            check_invariants(snapshot, decision)
        except InvariantViolated as violated:
            if violated.pool not in decision.pools:
                raise
            decision = _without_actions(decision, decision.pools[violated.pool], str(violated))
        else:
            return decision


def _without_actions(decision: Decision, outlook: PoolOutlook, sentence: str) -> Decision:
    others = tuple(one for one in outlook.conditions if one.type != REFUSED)
    refused = Condition(type=REFUSED, status=True, reason="RuleBroken", message=sentence, since=decision.now)
    update = {"conditions": (*others, refused), "converged": False}
    return decision.model_copy(
        update={
            "actions": tuple(action for action in decision.actions if action.pool != outlook.name),
            "pools": {**decision.pools, outlook.name: outlook.model_copy(update=update)},
        }
    )


def check_invariants(snapshot: Snapshot, decision: Decision) -> None:
    """Raises `InvariantViolated` for the first rule that is broken; linear in rows, instances and actions."""
    if not decision.actions:
        return _check_all_judged(snapshot, decision)
    rows = {vm.hostname: vm for vm in snapshot.vms}
    _check_may_act(snapshot, decision, rows)
    _check_one_action_each(decision)
    _check_rows(decision, rows)
    _check_names(snapshot, decision, rows)
    _check_ceilings(snapshot, decision)
    _check_money(snapshot, decision)
    _check_shards(snapshot, decision)
    _check_all_judged(snapshot, decision)
    return None


def _check(holds: bool, sentence: str, pool: str | None = None) -> None:
    if not holds:
        raise InvariantViolated(sentence, pool)


def _check_may_act(snapshot: Snapshot, decision: Decision, rows: dict[str, Vm]) -> None:
    _check(snapshot.observe_only is None, f"actions were decided although {snapshot.observe_only}")
    instances = {instance.instance_id: instance.region for instance in snapshot.instances}
    for action in decision.actions:
        pool = snapshot.lab.pools.get(action.pool)
        _check(pool is None or not pool.paused, f"{action.kind} in {action.pool}, which is paused", action.pool)
        region = _region(snapshot, action, rows, instances)
        _check(
            region in snapshot.listings, f"{action.kind} in {region or 'no region'}, which was not listed", action.pool
        )


def _region(snapshot: Snapshot, action: Action, rows: dict[str, Vm], instances: dict[str, str]) -> str:
    match action:
        case CreateVm():
            return action.spec.region
        case EndBase() | CorrectBase():
            return action.region
        case ReportCourse():
            return snapshot.lab.pools[action.pool].region
        case EndInstance() | AdoptVm():
            return instances.get(action.instance_id, "")
        case _:
            return rows[action.hostname].region if action.hostname in rows else ""


def _check_one_action_each(decision: Decision) -> None:
    subjects: set[str] = set()
    for action in decision.actions:
        if not isinstance(action, EndBase | CorrectBase | ReportCourse):
            subject = action.instance_id if isinstance(action, EndInstance) else action.hostname
            _check(subject not in subjects, f"more than one action for {subject}", action.pool)
            subjects.add(subject)


def _check_rows(decision: Decision, rows: dict[str, Vm]) -> None:
    """Actions on rows fit the phase that the row is in, and never end a VM that somebody has."""
    recorded = {vm.instance_id for vm in rows.values()}
    for action in decision.actions:
        match action:
            case EndVm():
                vm = rows[action.hostname]
                _check(not is_taken(vm), f"{action.hostname} would be ended although it is assigned", action.pool)
                _check(
                    vm.phase in (Phase.PLANNED, Phase.LIVE),
                    f"{action.hostname} would be ended in phase {vm.phase}",
                    action.pool,
                )
            case MarkLost():
                _check(
                    rows[action.hostname].phase is Phase.LIVE,
                    f"{action.hostname} would be lost without being live",
                    action.pool,
                )
            case MarkGone():
                _check(
                    not rows[action.hostname].in_state,
                    f"{action.hostname} would be gone while Terraform holds it",
                    action.pool,
                )
            case RecordInstance():
                _check(
                    rows[action.hostname].instance_id is None,
                    f"{action.hostname} has an instance recorded already",
                    action.pool,
                )
            case StartVm():
                _check(
                    rows[action.hostname].started_at is None,
                    f"{action.hostname} would be started a second time",
                    action.pool,
                )
            case EndAssignment():
                warned = rows[action.hostname].warning_ends_at
                over = is_taken(rows[action.hostname]) and warned is not None and warned <= decision.now
                _check(over, f"the session on {action.hostname} would end without a warning", action.pool)
            case EndInstance():
                _check(
                    action.instance_id not in recorded, f"{action.instance_id} is the instance of a row", action.pool
                )
            case _:
                pass


def _check_names(snapshot: Snapshot, decision: Decision, rows: dict[str, Vm]) -> None:
    used = {instance.hostname for instance in snapshot.instances} | rows.keys() | snapshot.gone.keys()
    for action in decision.actions:
        if isinstance(action, CreateVm):
            _check(
                action.hostname not in used,
                f"{action.hostname} would be created although the name was used before",
                action.pool,
            )
            row = snapshot.pools.get(action.pool)
            fresh = row is not None and action.number > row.counter
            _check(
                fresh,
                f"{action.hostname} would be created although number {action.number} was given before",
                action.pool,
            )
        if isinstance(action, AdoptVm):
            _check(
                action.hostname not in rows, f"{action.hostname} would be adopted although it has a row", action.pool
            )


def _check_ceilings(snapshot: Snapshot, decision: Decision) -> None:
    """Rows, instances beside them, and what is created: never more than declared, or than the surge of a replacement."""
    creates = Counter(action.pool for action in decision.actions if isinstance(action, CreateVm))
    if not creates:
        return
    present = Counter(vm.pool for vm in snapshot.vms)
    named = {vm.hostname: vm for vm in snapshot.vms}
    replacing = {judged.pool for judged in decision.judgements if judged.bucket in REPLACING}
    replacing |= {vm.pool for vm in snapshot.vms if vm.pool in creates and _is_being_replaced(vm, snapshot.now)}
    replacing |= {action.pool for action in decision.actions if isinstance(action, EndVm) and REPLACED in action.reason}
    unrecorded: set[str] = set()
    for instance in snapshot.instances:
        if not instance.exists:
            continue
        row = named.get(instance.hostname or "")
        if row and row.instance_id is None and row.hostname not in unrecorded:
            unrecorded.add(row.hostname)  # one instance of that name is the row's own
        elif pool := row.pool if row else instance.pool:
            present[pool] += 1
    for name, number in creates.items():
        pool_declared = snapshot.lab.pools.get(name)
        _check(pool_declared is not None, f"VMs would be created in {name}, which is not declared", name)
        if pool_declared is not None:
            ceiling = _most(name, pool_declared, snapshot) + (pool_declared.update.surge if name in replacing else 0)
            sentence = f"{name} would have {present[name] + number} VMs, above its ceiling of {ceiling}"
            _check(present[name] + number <= ceiling, sentence, name)


def _is_being_replaced(vm: Vm, now: datetime) -> bool:
    if vm.phase is Phase.DRAINING:
        return REPLACED in vm.reason
    return (vm.phase is Phase.LIVE and vm.seat is Seat.DRAINING) or is_reclaimed(vm, now)


def _check_money(snapshot: Snapshot, decision: Decision) -> None:
    if overspending := find_overspending(snapshot, decision):
        pool, sentence = overspending
        _check(False, sentence, pool)


def _most(name: str, pool: Pool, snapshot: Snapshot) -> int:
    """The largest number that the declaration names for this moment."""
    windows = [window.size for window in pool.schedule if open_span(window, snapshot.now)]
    most = max([pool.size if isinstance(pool.size, int) else pool.size.max, *windows])
    seats = sum(one.seats for one in snapshot.lab.courses.values() if one.pool == name and snapshot.now < one.to_at)
    in_use = sum(vm.pool == name and is_taken(vm) for vm in snapshot.vms) if seats else 0
    return max(most, seats + in_use)


def _check_shards(snapshot: Snapshot, decision: Decision) -> None:
    added = [action for action in decision.actions if isinstance(action, CreateVm | AdoptVm)]
    held = Counter((vm.pool, vm.region, vm.shard) for vm in snapshot.vms)
    grown = [(action.pool, action.spec.region, action.shard) for action in added]
    held.update(grown)
    for pool, region, shard in set(grown):
        rows = held[pool, region, shard]
        _check(rows <= SHARD_SIZE, f"shard {shard} of {pool} in {region} would hold {rows} VMs", pool)


def _check_all_judged(snapshot: Snapshot, decision: Decision) -> None:
    """Nothing is paid for unseen: each row and each existing instance has been judged."""
    judged = {judgement.subject for judgement in decision.judgements}
    unjudged = [vm.hostname for vm in snapshot.vms if vm.hostname not in judged]
    unjudged += _unseen(((one.instance_id, one.hostname) for one in snapshot.instances if one.exists), judged)
    _check(not unjudged, f"{len(unjudged)} VMs were not judged, such as {unjudged[:1]}")


def _unseen(instances: Iterable[tuple[str, str | None]], judged: set[str]) -> list[str]:
    return [one for one, hostname in instances if one not in judged and hostname not in judged]
