"""Two programs on one database, statement by statement, in each order that switches between them at most three times.

A statement that waits for a lock of the other program is left waiting, as PostgreSQL would, and the other one goes on.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from psycopg import AsyncConnection, AsyncTransaction

from store.db import Db, fetch_one

Act = Callable[[], Awaitable[object]]
LOOK_S = 0.002
BLOCKED = "SELECT wait_event_type = 'Lock' AS blocked FROM pg_stat_activity WHERE pid = %s"


@dataclass
class Actor:
    """One of the two. `gate` opens once a step; `steps` are those that it has taken."""

    gate: anyio.Event | None = None
    pid: int = 0
    steps: int = 0
    done: bool = False

    async def pause(self, conn: Any) -> None:
        """Before each statement and each commit."""
        self.pid, self.gate = conn.info.backend_pid, anyio.Event()
        await self.gate.wait()
        self.steps += 1


ACTOR: ContextVar[Actor | None] = ContextVar("ACTOR", default=None)


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements and commits of actors wait for their turn; everybody else's pass."""
    execute, leave = AsyncConnection.execute, AsyncTransaction.__aexit__

    async def execute_in_turn(self: Any, *arguments: Any, **more: Any) -> Any:
        if actor := ACTOR.get():
            await actor.pause(self)
        return await execute(self, *arguments, **more)

    async def leave_in_turn(self: Any, *error: Any) -> Any:
        if (actor := ACTOR.get()) and error[0] is None:
            await actor.pause(self.connection)
        return await leave(self, *error)

    monkeypatch.setattr(AsyncConnection, "execute", execute_in_turn)
    monkeypatch.setattr(AsyncTransaction, "__aexit__", leave_in_turn)


@dataclass
class Meeting:
    """Two acts, the first of which takes `first` steps, then the other `second`, then the first one to its end."""

    db: Db
    actors: tuple[Actor, Actor] = field(default_factory=lambda: (Actor(), Actor()))

    async def play(self, acts: tuple[Act, Act], leader: int, first: int, second: int) -> None:
        async with anyio.create_task_group() as group:
            for actor, act in zip(self.actors, acts, strict=True):
                group.start_soon(self._run, actor, act)
            one, other = self.actors[leader], self.actors[1 - leader]
            await self._step(one, first)
            await self._step(other, second)
            while not (one.done and other.done):  # who waits for a lock gets it when the other one has ended
                await self._step(one, 99)
                await self._step(other, 99 if one.done else 1)

    async def _run(self, actor: Actor, act: Act) -> None:
        ACTOR.set(actor)
        await act()
        actor.done = True

    async def _step(self, actor: Actor, number: int) -> None:
        """As many statements as that, or up to one that has to wait for the other actor."""
        for _ in range(number):
            if not await self._settles(actor) or actor.done or actor.gate is None:
                return
            gate, actor.gate = actor.gate, None
            gate.set()
        await self._settles(actor)

    async def _settles(self, actor: Actor) -> bool:
        """Wait until it stands at its gate or has ended; False where it waits for a lock."""
        while not actor.done and actor.gate is None:
            async with self.db.connection() as conn:
                row = await fetch_one(conn, BLOCKED, (actor.pid,))
            if row and row["blocked"]:
                return False
            await anyio.sleep(LOOK_S)
        return True


async def play_all(db: Db, begin: Callable[[], Awaitable[tuple[Act, Act]]]) -> AsyncIterator[str]:
    """Each order once, each from a new beginning; yields what it was, when both have ended."""
    for leader in (0, 1):
        for first, second in _count(12):
            acts = await begin()
            meeting = Meeting(db)
            with anyio.fail_after(20):
                await meeting.play(acts, leader, first, second)
            yield f"actor {leader} takes {first} steps, then the other {second}"
            if first > meeting.actors[leader].steps:
                break


def _count(most: int) -> Iterator[tuple[int, int]]:
    for first in range(most):
        for second in range(1, 4):
            yield first, second
