"""Whole weeks drawn from a seed: pools of all kinds, people, edits of the document, sessions that end, VMs that die, break or are taken back, an AWS that refuses; then a quiet day.

`python -m tests.property.weeks SEED…` lives through the weeks of these seeds, `--count 1000` through as many (a part of `make prove`).
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from controller.simulate.people import draw_people
from controller.simulate.rehearsal import Rehearsal, open_world
from schemas.lab import Lab
from schemas.simulation import Plan
from schemas.vm import Phase, VmStatus
from tests.prove.piece import Lived, run_pieces

START = datetime(2026, 10, 23, tzinfo=UTC)  # daylight saving ends in Europe that weekend, and a week later in America
DAY = timedelta(days=1)
REST = timedelta(hours=3)
TROUBLES = {"TooManyUnhealthy", "FleetSuspect", "UpdateStalled", "BudgetReached", "ApprovalNeeded", "Paused"}


def live_a_week(seed: int) -> Rehearsal:
    """A week of trouble and a day without. Each tick's decision is checked while it is lived through."""
    chance = Random(seed)
    world = open_world(_draw_lab(chance), _draw_plan(chance, seed))
    for person in draw_people(world.document, world.plan, world.chance):
        world.at(person.arrives, partial(world.arrive, person))
    for _ in range(chance.randrange(12)):
        world.at(START + timedelta(days=chance.uniform(0, 7)), partial(_edit, world, chance.random()))
    for _ in range(chance.randrange(10)):
        world.at(START + timedelta(days=chance.uniform(0, 7)), partial(_strike, world, Rehearsal.kill, chance.random()))
    for _ in range(chance.randrange(20)):
        harm = chance.choice((_reclaim, _break_down))
        world.at(START + timedelta(days=chance.uniform(0, 7)), partial(_strike, world, harm, chance.random()))
    world.run(START + timedelta(days=7))
    world.plan = world.plan.model_copy(update={"fail": {}, "broken": 0.0})
    document = world.document.model_dump(mode="json", by_alias=True)
    for pool in document["pools"].values():
        pool |= {"schedule": [], "paused": False}
    world.declare(Lab.model_validate(document))
    world.run(START + timedelta(days=8))
    return world


def _draw_plan(chance: Random, seed: int) -> Plan:
    return Plan(
        start=START,
        days=7,
        seed=seed,
        arrivals={"": chance.choice((0, 2, 6, 12))},
        stay_s=chance.uniform(600, 4 * 3600),
        boot_s=chance.uniform(60, 600),
        fail={"g4dn": chance.choice((0.0, 0.3, 0.7)), "g5": chance.choice((0.0, 0.5))},
        broken=chance.choice((0.0, 0.02, 0.2)),
    )


def _draw_lab(chance: Random) -> Lab:
    names = ("alpha", "beta")[: chance.randint(1, 2)]
    budget = {"hourly": chance.uniform(1.0, 6.0)} if chance.random() < 0.3 else {}
    pools = {name: _draw_pool(chance) for name in names}
    return Lab.model_validate({"pools": pools, "courses": _draw_courses(chance), "budget": budget})


def _draw_courses(chance: Random) -> dict[str, Any]:
    if chance.random() < 0.6:
        return {}
    begins = START + timedelta(days=chance.uniform(1, 5))
    course = {
        "pool": "alpha",
        "from": begins,
        "to": begins + timedelta(hours=chance.randint(1, 8)),
        "seats": chance.randint(1, 12),
    }
    roster = {"roster": "roster.txt"} if chance.random() < 0.5 else {}
    alarm = ["30m"] if chance.random() < 0.5 else []
    return {"friday": {**course, **roster, "alarm": alarm, "grace": f"{chance.randrange(60)}m"}}


def _draw_pool(chance: Random) -> dict[str, Any]:
    most = chance.randint(1, 8)
    size = (
        chance.randint(0, 5)
        if chance.random() < 0.4
        else {"min": chance.randint(0, min(2, most)), "max": most, "spare": chance.randint(0, 2)}
    )
    surge = chance.randint(0, 2)
    return {
        "size": size,
        "instance_type": ["g4dn.xlarge", "g5.xlarge"][: chance.randint(1, 2)],
        "update": {"surge": surge, "unavailable": chance.randint(0 if surge else 1, 2)},
        "schedule": [_draw_window(chance)] if chance.random() < 0.4 else [],
        "market": chance.choice(("on-demand", "spot")),
        "software": "sleap",
        "session": _draw_session(chance),
        "health": {"reboot_first": chance.random() < 0.5, "assigned": chance.choice(("notify", "replace"))},
    }


def _draw_session(chance: Random) -> dict[str, Any]:
    limits = {"max": f"{chance.randint(20, 300)}m", "idle": f"{chance.randint(20, 120)}m"}
    drawn = {name: limit for name, limit in limits.items() if chance.random() < 0.5}
    return {**drawn, "after": chance.choice(("replace", "reboot", "keep"))}


def _draw_window(chance: Random) -> dict[str, Any]:
    return {
        "cron": f"{chance.randrange(60)} {chance.randrange(24)} * * *",
        "for": f"{chance.randint(1, 6)}h",
        "timezone": chance.choice(("Europe/Berlin", "America/New_York", "UTC")),
        "size": chance.randint(0, 6),
        "lead": f"{chance.randrange(30)}m",
    }


def _edit(world: Rehearsal, number: float) -> None:
    """An admin changes the document: a size, what VMs are made of, a schedule, or pauses a pool for a while."""
    chance = Random(number)
    document = world.document.model_dump(mode="json", by_alias=True)
    name = chance.choice(sorted(document["pools"]))
    pool = document["pools"][name]
    kind = chance.choice(("size", "spec", "pool", "pause"))
    if kind == "size":
        pool["size"] = chance.randint(0, 5)
    elif kind == "spec":
        pool["repository"] = f"https://example.org/lab/{chance.randrange(99)}"
    elif kind == "pool":
        document["pools"][name] = _draw_pool(chance)
    else:
        pool["paused"] = not pool["paused"]
        world.at(world.now + timedelta(hours=1), lambda: _resume(world, name))
    world.declare(Lab.model_validate(document))


def _resume(world: Rehearsal, name: str) -> None:
    document = world.document.model_dump(mode="json", by_alias=True)
    document["pools"][name]["paused"] = False
    world.declare(Lab.model_validate(document))


def _strike(world: Rehearsal, harm: Callable[[Rehearsal, str], None], number: float) -> None:
    running = sorted(
        name for name, vm in world.vms.items() if vm.phase is Phase.LIVE and vm.instance_state == "running"
    )
    if running:
        harm(world, running[int(number * len(running))])


def _reclaim(world: Rehearsal, hostname: str) -> None:
    """AWS says that it takes the instance back (which only spot VMs are believed), and does so two minutes later."""
    taken_at = world.now + timedelta(minutes=2)
    world.change(hostname, reclaim_at=taken_at)
    world.at(taken_at, lambda: world.kill(hostname) if world.lives(hostname) else None)


def _break_down(world: Rehearsal, hostname: str) -> None:
    """It stops working; a reboot may help."""
    world.change(hostname, status=VmStatus.ERROR)


def find_faults(world: Rehearsal) -> list[str]:
    """What should not be so after the quiet day."""
    faults = []
    if world.now - world.acted_at < REST:
        faults.append(f"no rest: the last action was at {world.acted_at}")
    for name, row in world.rows.items():
        bad = {one.type for one in row.conditions.values() if not one.good}
        if name in world.document.pools and "Ready" in bad and not bad & TROUBLES:
            faults.append(f"{name} has not all its VMs: {row.conditions['Ready'].message} ({sorted(bad)})")
    return faults


def live(seed: int) -> Lived:
    """One piece of the proof."""
    world = live_a_week(seed)
    return Lived(find_faults(world), {"ticks": world.ticks})


if __name__ == "__main__":
    sys.exit(run_pieces("tests.property.weeks", __doc__, live))
