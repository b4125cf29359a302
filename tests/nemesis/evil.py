"""What may happen to one of several processes for a moment: it is killed, stands still, or its way to the database breaks.

Each act is a coroutine function that returns when all is as before. `Watch` looks on: who leads, and since when.
"""

import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import anyio
from anyio import to_thread

from tests.api.silent_proxy import SilentProxy
from tests.nemesis.boundaries import find_terraforms, kill_postgres
from tests.nemesis.site import LOOK_S, Site

WORK_S = 5.0
LEADER = "SELECT holder, token, extract(epoch FROM expires_at)::float AS until FROM lease"


@dataclass
class Evil:
    """`proxies` stand between the database and the process of that name."""

    site: Site
    proxies: dict[str, SilentProxy]
    chance: Random
    pause_s: float  # longer than a lease
    done: list[str] = field(default_factory=list)
    away: list[tuple[str, float, float]] = field(default_factory=list)
    """Who could not come to the database, from when to when."""

    async def act(self, number: int) -> None:
        """One thing, each in its turn; every other one to who leads, while a Terraform works if there is one soon, else to anybody."""
        kind = [*ACTS][number % len(ACTS)]
        name = self.chance.choice([*self.proxies])
        if number % 2 == 0:
            with anyio.move_on_after(WORK_S):
                await self._see_work()
            name = await to_thread.run_sync(self.find_leader)
        self.done.append(f"{kind} {name if kind != 'database' else ''}".strip())
        began_at = time.time()
        await ACTS[kind](self, name)
        if kind in AWAY:
            self.away.append((name, began_at, time.time()))

    async def _see_work(self) -> None:
        while not await to_thread.run_sync(find_terraforms, str(self.site.folder)):
            await anyio.sleep(LOOK_S)

    def find_leader(self) -> str:
        """The name of the controller that has the lease, or had it last."""
        found = self.site.rows(LEADER)
        pid = found[0]["holder"].split("/")[1] if found else ""
        names = (name for name, program in self.site.programs.items() if str(program.pid) == pid)
        return next(names, "controller-a")

    async def kill(self, name: str) -> None:
        await to_thread.run_sync(self.site.end, name)

    async def pause(self, name: str) -> None:
        """It sleeps past its lease, as a machine that is moved or swaps, and knows of nothing when it wakes."""
        pid = self.site.programs[name].pid
        with suppress(ProcessLookupError):  # it may be killed meanwhile
            os.kill(pid, signal.SIGSTOP)
            await anyio.sleep(self.pause_s)
            os.kill(pid, signal.SIGCONT)

    async def reset(self, name: str) -> None:
        self.proxies[name].reset()

    async def silence(self, name: str) -> None:
        """Half-open: what is sent is lost, and neither end knows, until the system's own limits end the connections."""
        self.proxies[name].go_silent()
        await anyio.sleep(self.pause_s)
        self.proxies[name].reset()

    async def cut(self, name: str) -> None:
        proxy = self.proxies[name]
        proxy.refuses = True
        proxy.reset()
        await anyio.sleep(self.pause_s)
        proxy.refuses = False

    async def delay(self, name: str) -> None:
        self.proxies[name].delay_s = 0.2
        await anyio.sleep(self.pause_s)
        self.proxies[name].delay_s = 0.0

    async def kill_database(self, _name: str) -> None:
        kill_postgres(self.site.database.pid)


Act = Callable[[Evil, str], Awaitable[None]]
ACTS: dict[str, Act] = {
    "kill": Evil.kill,
    "pause": Evil.pause,
    "reset": Evil.reset,
    "silence": Evil.silence,
    "cut": Evil.cut,
    "delay": Evil.delay,
    "database": Evil.kill_database,
}
AWAY = {"pause", "cut"}
"""Acts that keep a process from the database as long as they last. New connections of one that was silenced are good ones."""


@dataclass
class Watch:
    """Each time without a sign of life: from the last one of who led to the first one of who led next. No fail-over took longer."""

    site: Site
    lease_s: float
    gaps: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled. A lease ends a fixed time after it was renewed, which tells when that was."""
        token, until = 0, 0.0
        while True:
            for row in await to_thread.run_sync(self.site.rows, LEADER):
                if token and row["token"] != token:
                    self.gaps.append((until - self.lease_s, row["until"] - self.lease_s))
                token, until = row["token"], row["until"]
            await anyio.sleep(LOOK_S)

    def find_longest(self) -> float:
        """The most seconds without a leader."""
        return max((until - since for since, until in self.gaps), default=0.0)

    def find_longest_failover(self, evil: Evil, names: tuple[str, str]) -> float:
        """The same, not counting the time in which neither of the two could come to the database."""
        one, other = ([(a, b) for name, a, b in evil.away if name == asked] for asked in names)
        neither = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
        return max((until - since - _overlap((since, until), neither) for since, until in self.gaps), default=0.0)


def _overlap(gap: tuple[float, float], parts: Sequence[tuple[float, float]]) -> float:
    """Seconds of the gap that the parts cover, which do not overlap each other: two acts a round."""
    return sum(max(0.0, min(gap[1], until) - max(gap[0], since)) for since, until in parts)
