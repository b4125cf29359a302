"""`python -m tests.nemesis.sweep NUMBER…`: somebody dies at every boundary there is, one after the other, and nothing is lost.

First a day in the life of a lab is lived undisturbed, which tells the boundaries of each of its turns. Then each turn comes again
and again, each time with a `kill -9` of the controller, the API, Terraform or PostgreSQL at another boundary. After each the site
must come to rest with the declared VMs, no other instance, and all that was acknowledged. Standard error has each boundary's name.
"""

import hashlib
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from anyio.from_thread import start_blocking_portal

from tests.nemesis.clients import Person
from tests.nemesis.people import READY, People, meeting
from tests.nemesis.site import Site, add_provider, give_order, open_site, watched
from tests.prove.piece import Lived, run_pieces

FEW, MANY = 1, 2
DAY = ("grow", "seat", "log", "boot", "leave", "shrink")


@dataclass(frozen=True)
class Death:
    """Who dies in which turn, at which boundary."""

    turn: str
    at: str
    victim: str

    @property
    def kind(self) -> tuple[str, ...]:
        """The class of boundaries that it stands for: who, in which process, at what."""
        role, _, kind, _ = self.at.split(" ", 3)
        return (self.victim, role, kind)

    def __str__(self) -> str:
        return f"{self.victim} killed in {self.turn}, {self.at}"


@dataclass
class Sweep:
    """A site with one person, from rest to rest. `offered` are the deaths of each turn, in an order that is the same for each process."""

    site: Site
    people: People
    offered: dict[str, list[Death]] = field(default_factory=dict)
    turns: int = 0
    person: Person | None = None

    @property
    def turn(self) -> str:
        """What comes next."""
        return DAY[self.turns % len(DAY)]

    async def act(self) -> None:
        match self.turn:
            case "grow" | "shrink":
                await self.people.declare(self.size)
            case "seat":
                self.person = self.people.make_person()
                await self.people.seat(self.person)
            case "leave":
                assert self.person
                await self.people.leave(self.person)
            case "log":
                await self.people.ship(next(iter(self.people.lives)))
            case "boot":
                for name in ("controller", "api"):
                    self.site.end(name)

    @property
    def size(self) -> int:
        """How many VMs there are after the turn."""
        return FEW if self.turn == "shrink" else MANY

    async def live(self, **order: Any) -> list[str]:
        """One turn to its rest; what was lost."""
        give_order(self.site, **order)
        await self.act()
        await self.people.wait(f"rest after {self.turn} with {order}", self.is_at_rest)
        self.turns += 1
        return await self.people.find_losses()

    def is_at_rest(self) -> bool:
        """Also of the seats: all but the person's can be had."""
        free = len(self.site.rows(READY))
        return free == self.size - len(self.people.seated) and self.site.is_at_rest(self.size)

    async def learn(self) -> None:
        """An undisturbed day; all deaths that it offers."""
        for turn in DAY:
            (self.site.folder / "crossed").write_text("")
            await self.live()
            places = set((self.site.folder / "crossed").read_text().splitlines())
            deaths = [Death(turn, place, victim) for place in places for victim in find_victims(place)]
            self.offered[turn] = sorted(deaths, key=lambda death: hashlib.sha256(str(death).encode()).digest())

    async def die(self, number: int) -> Lived:
        """Numbers go through the day, turn by turn, and each day to the next death of each turn; a turn that has no more is only lived."""
        turn, day = DAY[number % len(DAY)], number // len(DAY)
        while self.turn != turn:
            await self.live()
        due = self.offered[turn][day : day + 1]
        return await self.kill(due[0]) if due else Lived(await self.live(), {})

    async def kill(self, death: Death) -> Lived:
        """The turn with this death in it."""
        struck = self.site.folder / "struck"
        struck.unlink(missing_ok=True)
        losses = await self.live(at=death.at, victim=death.victim)
        if not struck.exists():
            sys.stderr.write(f"not crossed again: {death}\n")
            return Lived(losses, {"boundaries not crossed again": 1})
        seconds = round(time.time() - struck.stat().st_mtime, 1)
        sys.stderr.write(f"at rest after {seconds} s: {death}\n")
        known = len({(one.turn, one.at) for deaths in self.offered.values() for one in deaths})
        figures = {
            "deaths": 1,
            f"deaths of {death.victim}": 1,
            "longest_until_rest_s": seconds,
            "most_boundaries": known,
        }
        return Lived([f"{death}: {loss}" for loss in losses], figures)

    async def kill_kinds(self) -> dict[Death, Lived]:
        """One death of each kind, in as few days as there are."""
        due = choose_kinds([death for deaths in self.offered.values() for death in deaths])
        lived = {}
        while due:
            death = next((one for one in due if one.turn == self.turn), None)
            if death:
                due.remove(death)
                lived[death] = await self.kill(death)
            else:
                await self.live()
        return lived


def find_victims(place: str) -> list[str]:
    """Who may die there: the process itself, the one it works for, or the database that it has just spoken to."""
    role, _, kind, _ = place.split(" ", 3)
    if role == "provider":
        return ["terraform", "controller"]
    of_states = kind == "answer" and role == "controller"
    return [role, *(["postgres"] if kind in ("commit", "statement") else []), *(["terraform"] if of_states else [])]


def choose_kinds(offered: Sequence[Death]) -> list[Death]:
    """One of each kind, spread over the turns: of several that would do, in the turn that has the fewest yet."""
    chosen: dict[tuple[str, ...], Death] = {}
    for death in offered:
        if death.kind not in chosen or _count(chosen, death.turn) < _count(chosen, chosen[death.kind].turn) - 1:
            chosen[death.kind] = death
    return list(chosen.values())


def _count(chosen: dict[tuple[str, ...], Death], turn: str) -> int:
    return sum(death.turn == turn for death in chosen.values())


@asynccontextmanager
async def learned(site: Site) -> AsyncIterator[Sweep]:
    """A site after an undisturbed day."""
    async with meeting(site) as people:
        sweep = Sweep(site, people, turns=-1)
        await people.wait("the first rest", sweep.is_at_rest)
        sweep.turns = 0
        await sweep.learn()
        yield sweep


@contextmanager
def open_sweep() -> Iterator[Site]:
    """Programs whose boundaries are watched."""
    with open_site(FEW) as site:
        add_provider(site)
        site.add("controller", watched("controller", site.folder))
        site.add_api("api", watched("api", site.folder))
        yield site


def main() -> int:
    """All numbers of a process share a site."""
    with (
        open_sweep() as site,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(learned(site)) as sweep,
    ):
        return run_pieces("tests.nemesis.sweep", __doc__, lambda number: portal.call(sweep.die, number))


if __name__ == "__main__":
    sys.exit(main())
