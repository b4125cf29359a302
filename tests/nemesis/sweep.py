"""`python -m tests.nemesis.sweep NUMBER…`: somebody dies at every boundary there is, one after the other, and nothing is lost.

First a day in the life of a lab is lived undisturbed, which tells the boundaries of each of its turns. Then each turn comes again
and again, each time with a `kill -9` of the controller, the API, Terraform or PostgreSQL at another boundary. After each the site
must come to rest with the declared VMs, no other instance, and all that was acknowledged. Standard error has each boundary's name.
"""

import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread
from anyio.from_thread import start_blocking_portal

from tests.nemesis.catalogue import Catalogue, Death, choose_kinds
from tests.nemesis.clients import Person
from tests.nemesis.people import READY, People, meeting
from tests.nemesis.site import Site, add_provider, give_order, open_site, take_order_back, watched
from tests.prove.kept import KEPT, read_commit
from tests.prove.piece import Lived, end_tidily, run_pieces

FEW, MANY = 1, 2
NEEDS = {
    "grow": (FEW, False), "seat": (MANY, False), "log": (MANY, True), "boot": (MANY, True), "leave": (MANY, True), "shrink": (MANY, False),
}  # fmt: skip
"""The turns of the day, and what each begins with: how many VMs, and whether somebody has one."""
MORE_TICKS = 2
"""After a death so many more ticks may have to decide something than in an undisturbed turn."""
REGULAR_S = 3.0
"""Within which all that happens at rest, too, has happened: ticks, listings, renewals of the lease."""
MORE_TRIES = 3
SLOWLY = {"latency": {"RunInstances": 5.0, "TerminateInstances": 5.0}}
"""A fault of AWS by which a run lasts long enough to be extended; a quick one is over before."""
START = "boot"
OTHERS = 2
STRUCK = "struck"
TICKS = "SELECT count(*) AS n FROM tick WHERE at > to_timestamp({})"


@dataclass
class Sweep:
    """A site with at most one person, from rest to rest."""

    site: Site
    people: People
    catalogue: Catalogue
    size: int = FEW
    person: Person | None = None

    async def act(self, turn: str) -> None:
        match turn:
            case "grow" | "shrink":
                self.size = MANY if turn == "grow" else FEW
                await self.people.declare(self.size)
            case "seat":
                self.person = self.people.make_person()
                await self.people.seat(self.person)
            case "leave":
                assert self.person
                await self.people.leave(self.person)
                self.person = None
            case "log":
                await self.people.ship(next(iter(self.people.lives)))
            case "boot":
                for name in ("controller", "api"):
                    self.site.end(name)

    async def prepare(self, turn: str) -> None:
        """Live the turns that have to come before."""
        size, sits = NEEDS[turn]
        while (self.size, self.person is not None) != (size, sits):
            if self.person:
                await self.live("leave")
            elif self.size != size:
                await self.live("grow" if size == MANY else "shrink")
            else:
                await self.live("seat")

    async def live(self, turn: str, **order: Any) -> list[str]:
        """One turn to its rest; what was lost."""
        give_order(self.site, **order)
        await self.act(turn)
        await self.rest(f"{turn} with {order}")
        if order:
            if not (self.site.folder / STRUCK).exists():
                await self._wait_for_regular()
            await self.rest(f"{turn} with {order}")  # the look before may have begun before somebody died
        return await self.people.find_losses()

    async def rest(self, after: str) -> None:
        await self.people.wait(f"rest after {after}", self.is_at_rest)

    def is_at_rest(self) -> bool:
        """Also of the seats: all but the person's can be had."""
        free = len(self.site.rows(READY))
        return free == self.size - len(self.people.seated) and self.site.is_at_rest(self.size)

    async def _wait_for_regular(self) -> None:
        """What happens at rest again and again comes to the ordered crossing by itself; then nobody dies any more."""

        def struck() -> bool:
            return (self.site.folder / STRUCK).exists() or time.monotonic() > until

        until = time.monotonic() + REGULAR_S
        await self.people.wait("what is regular", struck)
        take_order_back(self.site)

    async def learn(self) -> None:
        """An undisturbed day; all deaths that it offers."""
        crossed, ticks = {}, {}
        for turn in NEEDS:
            await self.prepare(turn)
            (self.site.folder / "crossed").write_text("")
            began_at = time.time()
            await self.live(turn)
            crossed[turn] = (self.site.folder / "crossed").read_text().splitlines()
            ticks[turn] = await self._count_ticks(began_at)
        self.catalogue.add(crossed, ticks)

    async def _count_ticks(self, since: float) -> int:
        return int((await to_thread.run_sync(self.site.rows, TICKS.format(since)))[0]["n"])

    async def die(self, number: int) -> Lived:
        """A number that has no death is nothing."""
        deaths = self.catalogue.deaths
        return await self.kill(deaths[number]) if number < len(deaths) else Lived([], {})

    async def kill(self, death: Death) -> Lived:
        """The turn with this death in it; if it does not come to that crossing, with one at the first crossing, until that comes.

        What is done once in minutes (prices, who we are) is done at each start, too, and what a turn leaves to the next one may be done by then.
        """
        struck = self.site.folder / STRUCK
        struck.unlink(missing_ok=True)
        losses: list[str] = []
        again = [(death.turn, death.boundary, "at another crossing of the boundary")] * MORE_TRIES
        others = [(turn, death.boundary, "in another turn") for turn in NEEDS if turn not in (START, death.turn)]
        first, start = (death.turn, death.at, "at the ordered crossing"), (START, death.boundary, "at a start")
        places = [first, *again, start, *others]
        for turn, at, how in places:
            await self.prepare(turn)
            with nullcontext() if at == death.at else self._slow_aws():
                losses += await self.live(turn, at=at, victim=death.victim)
            if struck.exists():
                return await self._describe(death, turn, how, losses)
        sys.stderr.write(f"not reached: {death}\n")
        return Lived([*losses, f"not reached: {death}"], {"not reached": 1}, {death.boundary: {"not reached": 1}})

    @contextmanager
    def _slow_aws(self) -> Iterator[None]:
        self.site.lab.fault(SLOWLY)
        try:
            yield
        finally:
            self.site.lab.end_faults()

    async def _describe(self, death: Death, turn: str, how: str, losses: list[str]) -> Lived:
        struck_at = (self.site.folder / STRUCK).stat().st_mtime
        seconds = round(time.time() - struck_at, 1)
        more = await self._count_ticks(struck_at) - self.catalogue.ticks[turn]
        sys.stderr.write(f"at rest after {seconds} s, {more:+d} ticks: {death}, {how}\n")
        orphans = await to_thread.run_sync(self.site.find_orphans)
        twins = await to_thread.run_sync(self.site.lab.find_twins)
        faults = [
            *losses,
            *(f"nobody knows {one}" for one in orphans),
            *(f"there were two {one} at a time" for one in twins),
        ]
        if more > MORE_TICKS:
            faults.append(f"at rest after {more} more ticks that decided something")
        figures = {
            "deaths": 1,
            f"deaths of {death.victim}": 1,
            how: 1,
            "orphans": len(orphans),
            "duplicates": len(twins),
            "lost acknowledgements": len(losses),
            "acknowledgements looked for": self.people.count_acknowledged(),
            "longest_until_rest_s": seconds,
            "most_more_ticks": max(0, more),
        }
        detail = {death.victim: 1, "longest_until_rest_s": seconds}
        return Lived([f"{death}: {fault}" for fault in faults], figures, {death.boundary: detail})

    async def kill_kinds(self) -> dict[Death, Lived]:
        """One death of each kind, turn by turn."""
        due = choose_kinds(self.catalogue.deaths)
        return {death: await self._kill_like(death) for turn in NEEDS for death in due if death.turn == turn}

    async def _kill_like(self, death: Death) -> Lived:
        """This death or, where its turn does not come to it again, another of its kind in that turn."""
        alike = [one for one in self.catalogue.deaths if (one.kind, one.turn) == (death.kind, death.turn)]
        others = [one for one in alike if one.boundary != death.boundary]
        losses: list[str] = []
        for one in (death, *others[:OTHERS]):
            lived = await self.kill(one)
            if lived.figures.get("deaths"):
                break
            losses += [fault for fault in lived.faults if not fault.startswith("not reached")]
        return Lived([*losses, *lived.faults], lived.figures, lived.details)


@asynccontextmanager
async def learned(site: Site, file: Path) -> AsyncIterator[Sweep]:
    """A site that has a catalogue: of a process that was here before, or after an undisturbed day."""
    async with meeting(site) as people:
        sweep = Sweep(site, people, Catalogue(file))
        await sweep.rest("the start")
        held = sweep.catalogue.held()
        await to_thread.run_sync(held.__enter__)
        try:
            if not sweep.catalogue.deaths:
                await sweep.learn()
        finally:
            held.__exit__(None, None, None)
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
    end_tidily()
    KEPT.mkdir(parents=True, exist_ok=True)
    commit = read_commit()
    with (
        open_sweep() as site,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            learned(site, (site.folder if "+" in commit else KEPT) / f"{commit}-boundaries")
        ) as sweep,
    ):
        return run_pieces(
            "tests.nemesis.sweep",
            __doc__,
            lambda number: portal.call(sweep.die, number),
            count_known=lambda: len(sweep.catalogue.deaths),
        )


if __name__ == "__main__":
    sys.exit(main())
