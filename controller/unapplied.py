"""Which pools differ from what Terraform last applied, by a snapshot and what was decided on it: those are woken, all others rest."""

from schemas.decision import Decision
from schemas.snapshot import Snapshot
from schemas.vm import Phase, Vm

ALIVE = frozenset({"pending", "running", "stopping", "stopped"})


def find_unapplied(snapshot: Snapshot, decision: Decision) -> list[str]:
    """Names of pools, in order. Cheap and generous: waking a pool without need costs one query and no Terraform."""
    found = {action.pool for action in decision.actions}
    found |= {vm.pool for vm in snapshot.vms if is_unapplied(vm)}
    found |= {base.pool for base in snapshot.bases if base.applied_hash is None or not base.wanted}
    found |= {row.name for row in snapshot.pools.values() if row.observed_generation < row.generation}
    found |= {instance.pool for instance in snapshot.instances if instance.verdict and instance.pool}
    return sorted(found)


def is_unapplied(vm: Vm) -> bool:
    """Whether Terraform has to make, import, end or forget it; one that is out of the state may still have to be ended."""
    if vm.phase in (Phase.PLANNED, Phase.LIVE):
        return not vm.in_state
    return vm.in_state or (vm.instance_state in ALIVE and vm.missing_since is None)
