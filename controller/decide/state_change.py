"""What Terraform has to do in one shard: compares its rows with what its state holds. Pure; called by actuation.

A delete is an apply of its own and goes first, so a shard's change is either deletes, or creates and imports.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from schemas.vm import Phase, Vm

ENDING = (Phase.DRAINING, Phase.LOST)
WANTED = (Phase.PLANNED, Phase.LIVE)


@dataclass(frozen=True, slots=True)
class ShardChange:
    """What one apply of a shard does: host names, and for an import the instance id."""

    creates: frozenset[str] = frozenset()
    deletes: frozenset[str] = frozenset()
    imports: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.creates or self.deletes or self.imports)

    @property
    def hostnames(self) -> frozenset[str]:
        return self.creates | self.deletes | self.imports.keys()


def decide_deletes(vms: Iterable[Vm]) -> ShardChange:
    """What the state holds and should not."""
    return ShardChange(deletes=frozenset(vm.hostname for vm in vms if vm.in_state and vm.phase in ENDING))


def decide_imports(vms: Iterable[Vm]) -> ShardChange:
    """Recorded instances that exist and that the state does not know; one that is to end is imported to be deleted."""
    return ShardChange(
        imports={
            vm.hostname: vm.instance_id
            for vm in vms
            if not vm.in_state and vm.instance_id and vm.phase is not Phase.LOST and instance_exists(vm)
        }
    )


def decide_creates(vms: Iterable[Vm], seen: Set[str]) -> frozenset[str]:
    """Planned VMs that nothing in the cloud carries the name of (`seen`: host names of listed instances)."""
    return frozenset(
        vm.hostname
        for vm in vms
        if vm.phase is Phase.PLANNED and not vm.in_state and not vm.instance_id and vm.hostname not in seen
    )


def decide_target(vms: Iterable[Vm], change: ShardChange) -> tuple[Vm, ...]:
    """The rows that the state should hold after the apply of a change; what it holds and the change leaves alone stays."""
    kept = change.creates | change.imports.keys()
    return tuple(vm for vm in vms if (vm.in_state and vm.hostname not in change.deletes) or vm.hostname in kept)


def instance_exists(vm: Vm) -> bool:
    """Whether the last whole listing has the recorded instance: an import of anything else would fail the whole plan."""
    return vm.instance_state not in (None, "terminated", "shutting-down") and vm.missing_since is None
