"""Which pools differ from what Terraform last applied, by a snapshot and what was decided on it: those are woken, all others rest."""

from datetime import datetime, timedelta

from schemas.decision import Decision
from schemas.pool import PoolRow
from schemas.snapshot import Snapshot
from schemas.vm import Phase, Vm

ALIVE = frozenset({"pending", "running", "stopping", "stopped"})
TROUBLES = ("ApplyFailed", "PlanRefused")
"""Conditions of actuation, which clears them itself when it finds nothing left to apply."""
ORDERED_FOR = timedelta(minutes=10)
"""An order to start or reboot an instance holds for so long (`store.instance_orders.read_instance_orders`)."""


def find_unapplied(snapshot: Snapshot, decision: Decision) -> list[str]:
    """Names of pools, in order. Cheap and generous: waking a pool without need costs one query and no Terraform."""
    found = {action.pool for action in decision.actions}
    found |= {vm.pool for vm in snapshot.vms if is_unapplied(vm) or has_order(vm, snapshot.now)}
    found |= {base.pool for base in snapshot.bases if base.applied_hash is None or not base.wanted}
    found |= {row.name for row in snapshot.pools.values() if row.observed_generation < row.generation}
    found |= {row.name for row in snapshot.pools.values() if any(is_true(row, kind) for kind in TROUBLES)}
    found |= {run.pool for run in snapshot.runs.values() if run.ended_at is None and run.must_end_by < snapshot.now}
    named = {vm.hostname: vm.pool for vm in snapshot.vms}
    ending = [instance for instance in snapshot.instances if instance.verdict]
    found |= {pool for one in ending for pool in (one.pool, named.get(one.hostname or "")) if pool}
    return sorted(found)


def is_true(row: PoolRow, kind: str) -> bool:
    condition = row.conditions.get(kind)
    return condition is not None and condition.status


def is_unapplied(vm: Vm) -> bool:
    """Whether Terraform has to make, import, end or forget it; one that is out of the state may still have to be ended."""
    if vm.phase in (Phase.PLANNED, Phase.LIVE):
        return not vm.in_state
    return vm.in_state or (vm.instance_state in ALIVE and vm.missing_since is None)


def has_order(vm: Vm, now: datetime) -> bool:
    """Whether it was to be started or rebooted and has not been yet: a controller may have died between the wish and the call."""
    if vm.instance_state == "stopped":
        return vm.started_at is not None and now - vm.started_at < ORDERED_FOR
    asked_at = vm.reboot_asked_at
    if asked_at is None or (vm.rebooted_at and vm.rebooted_at >= asked_at):
        return False
    return now - asked_at < ORDERED_FOR
