"""What holds of every history of faults and changes: nobody in use is ended, no ceiling is broken, and rest comes.

The simulation checks each decision against its own world: see `Simulation.step`.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.decide.pool import decide
from controller.simulate.truth import count_present
from controller.simulate.world import Simulation
from schemas.decision import Decision
from schemas.snapshot import Snapshot
from tests.property.decide_faults import FAULTS

History = Sequence[tuple[str, int]]
HISTORIES = st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 11)), max_size=40)
MODERATE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUIET_STEPS = 150
DOUBTS = {"FleetSuspect", "TooManyUnhealthy", "Paused", "UpdateStalled"}


def _world() -> Simulation:
    """Two pools that came to rest some minutes ago: what is younger is believed in longer."""
    world = Simulation(
        {"client": {"size": 3, "update": {"surge": 1}}, "other": {"size": 1, "session": {"after": "keep"}}}
    )
    for _ in range(20):
        world.step()
    return world


def _live_through(history: History) -> Simulation:
    world = _world()
    for fault, number in history:
        FAULTS[fault](world, number)
        world.step()
    return world


@MODERATE
@given(HISTORIES)
def test_no_history_ends_vms_in_use_or_breaks_a_ceiling_or_skips_a_second_look(history: History) -> None:
    in_use_before: set[str] = set()
    world = _world()
    for fault, number in history:
        FAULTS[fault](world, number)
        in_use_before = {name for name, vm in world.vms.items() if vm.assignment_id}
        world.step()
        ended = {name for name in in_use_before if name in world.vms and world.vms[name].phase == "draining"}
        assert not ended


@MODERATE
@given(HISTORIES)
def test_the_world_comes_to_rest_after_the_last_fault(history: History) -> None:
    world = _live_through(history)
    decisions = [world.step() for _ in range(QUIET_STEPS)]
    rest = decisions[-10:]
    assert [decision.actions for decision in rest] == [()] * 10
    assert all(_without_time(decision) == _without_time(rest[0]) for decision in rest)
    for name, declared in world.pools.items():
        conditions = {one.type for one in rest[-1].pools[name].conditions if not one.good}
        orphans = rest[-1].pools[name].buckets.get("orphan", 0)  # type: ignore[call-overload]
        if not conditions & DOUBTS and not orphans:
            expected = _expected(world, name, declared["size"])
            kept = any(window["end"] == "keep" for window in declared.get("schedule", ()))
            assert world.usable(name) == count_present(world, name)
            assert world.usable(name) == expected or (kept and world.usable(name) > expected)


def _expected(world: Simulation, pool: str, size: int | dict[str, int]) -> int:
    of_pool = [vm for vm in world.vms.values() if vm.pool == pool]
    in_use = sum(vm.assignment_id is not None for vm in of_pool)
    if isinstance(size, int):
        return max(size, in_use)
    cordoned = sum(vm.cordoned and vm.assignment_id is None for vm in of_pool)
    asked = in_use + cordoned + world.waiting.get(pool, 0) + size["spare"]
    return max(in_use, min(max(asked, size["min"]), size["max"]))


@MODERATE
@given(HISTORIES, st.integers(0, 2**32))
def test_the_order_of_the_input_never_matters(history: History, seed: int) -> None:
    snapshot = _live_through(history).snapshot()
    assert decide(_shuffled(snapshot, Random(seed))) == decide(snapshot)


def test_a_quiet_world_gets_exactly_what_is_declared() -> None:
    world = _world()
    assert (world.usable("client"), world.usable("other")) == (3, 1)
    assert world.step().actions == ()


def _without_time(decision: Decision) -> Any:
    return decision.model_copy(update={"now": None})


def _shuffled(snapshot: Snapshot, chance: Random) -> Snapshot:
    def mixed(things: Any) -> Any:
        items = list(things.items()) if isinstance(things, dict) else list(things)
        chance.shuffle(items)
        return dict(items) if isinstance(things, dict) else tuple(items)

    lists = ("pools", "vms", "instances", "gone", "listings", "bases", "runs", "refusals", "asked")
    lab = snapshot.lab.model_copy(update={"pools": mixed(snapshot.lab.pools)})
    return snapshot.model_copy(update={"lab": lab, **{name: mixed(getattr(snapshot, name)) for name in lists}})
