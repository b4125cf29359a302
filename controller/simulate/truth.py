"""What a decision may never do, checked against the simulated world itself, not against what the decision believes of it. Pure."""

from datetime import timedelta

from schemas.decision import Decision
from schemas.snapshot import Snapshot
from schemas.vm import Seat

from controller.decide.demand import MINIMUM_AGE
from controller.simulate.record import SETTLE, Record


def check_truth(world: Record, snapshot: Snapshot, decision: Decision) -> None:
    """Raises AssertionError for what no decision may do in this world."""
    creates: dict[str, int] = {}
    for action in decision.actions:
        match action.kind:
            case "end":
                assert world.vms[action.hostname].seat is not Seat.TAKEN, f"{action.hostname} is in use"
                _check_no_flapping(world, action.hostname, action.reason)
            case "end_assignment":
                assert world.now - world.warned[action.hostname] >= timedelta(minutes=2), (
                    f"{action.hostname}: no notice"
                )
            case "create":
                assert action.hostname not in world.names, f"{action.hostname} was used before"
                creates[action.pool] = creates.get(action.pool, 0) + 1
            case "lost":
                _check_two_looks_at_a_loss(world, action.hostname)
            case "record" | "adopt" | "end_instance":
                first_seen_at = world.instances[action.instance_id].first_seen_at
                assert world.now - first_seen_at >= SETTLE, f"{action.instance_id} was seen once"
            case _:
                pass
    for pool, number in creates.items():
        declared = snapshot.lab.pools[pool]
        most = max([_most(world, pool), *(window.size for window in declared.schedule)])
        if seats := sum(course.seats for course in snapshot.lab.courses.values() if course.pool == pool):
            most = max(most, seats + sum(vm.pool == pool and vm.seat is Seat.TAKEN for vm in world.vms.values()))
        assert count_present(world, pool) + number <= most + declared.update.surge


def _check_no_flapping(world: Record, hostname: str, reason: str) -> None:
    """Demand alone ends no VM that is younger than its minimum age."""
    vm = world.vms[hostname]
    if " wanted" in reason and sum(one.pool == vm.pool for one in world.vms.values()) <= _most(world, vm.pool):
        assert world.now - vm.created_at >= MINIMUM_AGE, f"{hostname} is young: {reason}"


def _most(world: Record, pool: str) -> int:
    size = world.pools.get(pool, {"size": 0})["size"]
    return int(size["max"]) if isinstance(size, dict) else int(size)


def _check_two_looks_at_a_loss(world: Record, hostname: str) -> None:
    instance = world.instances.get(world.vms[hostname].instance_id or "")
    assert instance is not None
    looks = instance.missing_since is not None and world.now - instance.missing_since >= SETTLE
    assert looks or instance.state in ("terminated", "shutting-down"), f"{hostname} was missed once"


def count_present(world: Record, pool: str) -> int:
    """The truth behind the ceiling: what costs, or will cost, money."""
    rows = [vm for vm in world.vms.values() if vm.pool == pool]
    names = {vm.hostname: vm for vm in rows}
    own = {vm.instance_id for vm in rows}
    beside = [one for one in world.instances.values() if one.exists and one.pool == pool and one.instance_id not in own]
    unrecorded = {str(one.hostname) for one in beside if one.hostname in names and not names[one.hostname].instance_id}
    return len(rows) + len(beside) - len(unrecorded)
