"""What happens to a simulated world between two steps: people, clouds and killed runs. Each takes a number to choose by."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from controller.simulate.world import Simulation
from schemas.vm import Phase, Seat, VmStatus


def _nth(names: list[str], number: int) -> str | None:
    return sorted(names)[number % len(names)] if names else None


def _rows(world: Simulation, *seats: Seat) -> list[str]:
    return [name for name, vm in world.vms.items() if vm.phase is Phase.LIVE and vm.ready_at and vm.seat in seats]


def _on_row(*seats: Seat, **changes: Any) -> Callable[[Simulation, int], None]:
    def fault(world: Simulation, number: int) -> None:
        if hostname := _nth(_rows(world, *seats), number):
            world.change(hostname, **changes)

    return fault


def _assign(world: Simulation, number: int) -> None:
    if hostname := _nth(_rows(world, Seat.FREE), number):
        world.change(hostname, seat=Seat.TAKEN, assignment_id=UUID(int=number + 1), bound_at=world.now)


def _on_instance(**changes: Any) -> Callable[[Simulation, int], None]:
    def fault(world: Simulation, number: int) -> None:
        alive = [one.instance_id for one in world.instances.values() if one.exists and one.state == "running"]
        if instance_id := _nth(alive, number):
            world.change_instance(instance_id, **changes)

    return fault


def _release(world: Simulation, number: int) -> None:
    if hostname := _nth(_rows(world, Seat.TAKEN), number):
        world.release(hostname)


def _extend(world: Simulation, number: int) -> None:
    if hostname := _nth([name for name in _rows(world, Seat.TAKEN) if world.vms[name].ends_at], number):
        world.change(hostname, ends_at=world.now + timedelta(minutes=number))


def _vanish(world: Simulation, number: int) -> None:
    if instance_id := _nth([one.instance_id for one in world.instances.values() if one.exists], number):
        world.vanished.add(instance_id)


def _overlook(world: Simulation, number: int) -> None:
    if instance_id := _nth([one.instance_id for one in world.instances.values() if one.exists], number):
        world.overlooked.add(instance_id)


def _declare(world: Simulation, **changes: Any) -> None:
    if "client" in world.pools:
        world.pools = {**world.pools, "client": {**world.pools["client"], **changes}}


def _schedule(world: Simulation, number: int) -> None:
    """A window of ten minutes, now or in a while."""
    begins = world.now + timedelta(minutes=number % 4)
    window = {"from": begins.isoformat(), "to": (begins + timedelta(minutes=10)).isoformat(), "size": number % 6}
    _declare(world, schedule=[{**window, "end": ("drain", "keep")[number % 2]}])


def _course(world: Simulation, number: int) -> None:
    """Seats in five minutes, for ten."""
    begins = world.now + timedelta(minutes=5)
    dates = {"from": begins.isoformat(), "to": (begins + timedelta(minutes=10)).isoformat()}
    if "client" in world.pools:
        world.reported.clear()
        world.courses = {"friday": {"pool": "client", **dates, "seats": 1 + number % 5}}


def _stray(world: Simulation, number: int) -> None:
    world.launch(f"lablink-client-dev-{900 + number}", "client")


def _riddle(world: Simulation, number: int) -> None:
    world.launch(f"riddle-{number}", "client")


def _duplicate(world: Simulation, number: int) -> None:
    if hostname := _nth(list(world.vms), number):
        world.launch(hostname, world.vms[hostname].pool)


def _remove(world: Simulation, number: int) -> None:
    world.courses = {}
    back = {"size": number % 4, "update": {"surge": 1}}
    world.pools = {"other": world.pools["other"]} if "client" in world.pools else {**world.pools, "client": back}


FAULTS: dict[str, Callable[[Simulation, int], None]] = {
    "nothing": lambda world, number: None,
    "size": lambda world, number: _declare(world, size=number % 7),
    "spec": lambda world, number: _declare(world, repository=f"https://example.org/lab/{number}"),
    "surge": lambda world, number: _declare(world, update={"surge": number % 3, "unavailable": 1 + number % 2}),
    "pause": lambda world, number: _declare(world, paused=bool(number % 2)),
    "remove": _remove,
    "assign": _assign,
    "release": _release,
    "demand": lambda world, number: _declare(
        world, size={"min": number % 2, "max": number % 7 + 1, "spare": number % 3}
    ),
    "schedule": _schedule,
    "session": lambda world, number: _declare(world, session={"max": f"{10 + number}m"}),
    "extend": _extend,
    "course": _course,
    "ask": lambda world, number: world.ask(("client", "other")[number % 2]),
    "give up": lambda world, number: world.waiting.clear(),
    "fail": _on_row(Seat.FREE, Seat.TAKEN, status=VmStatus.ERROR),
    "cordon": _on_row(Seat.FREE, cordoned=True),
    "terminate": _on_instance(state="terminated"),
    "stop": _on_instance(state="stopped"),
    "vanish": _vanish,
    "overlook": _overlook,
    "stray": _stray,
    "riddle": _riddle,
    "duplicate": _duplicate,
    "deaf": lambda world, number: setattr(world, "deaf", True),
    "cut": lambda world, number: setattr(world, "cut", True),
}
