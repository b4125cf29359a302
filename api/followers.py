"""The people whose pages follow their assignment: all of a process share one query at a time, and no connection is theirs.

`hear` is woken by LISTEN; a slow beat stands behind it, sees that pages are still open, and finds what is not notified of.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import anyio

from api.batch import Batch
from api.binder import Binder
from api.errors import TooManyError
from api.eta import estimate_s
from api.signal import Signal
from store.db import Db
from store.line import Followed, Pace, read_followed, read_paces, see_people

BEAT_S = 5.0
MOST_STREAMS = 20  # of one assignment: its pages in all tabs and browsers
TOO_MANY = "this assignment is followed from as many pages as it may be; close some"
PAUSE_S = 0.2  # between two rings: a storm of bindings is looked at a few times a second


@dataclass(frozen=True, slots=True)
class View:
    """An assignment as its person sees it. `eta_s` is None unless there is something to tell from."""

    followed: Followed
    eta_s: int | None


class Followers:
    """`look` once, or `follow`; `run` rings."""

    def __init__(self, db: Db, binder: Binder) -> None:
        self._db = db
        self._binder = binder
        self._look = Batch(self._look_many)
        self._news = asyncio.Event()
        self._streams: Counter[UUID] = Counter()
        self.bell = Signal()

    async def look(self, assignment: UUID) -> View | None:
        """How it stands; says at the same time that its person is there. None: there is no such assignment."""
        return await self._look(assignment)

    def check(self, assignment: UUID) -> None:
        """Raises TooManyError where one more stream of it would be too many."""
        if self._streams[assignment] >= MOST_STREAMS:
            raise TooManyError(TOO_MANY, BEAT_S)

    async def follow(self, assignment: UUID) -> AsyncIterator[View | None]:
        """How it stands now and after each ring, until it has ended; None when there is none (any more)."""
        self._streams[assignment] += 1
        try:
            while not self.bell.closed:
                rung = self.bell.mark()
                view = await self.look(assignment)
                yield view
                if view is None or view.followed.assignment.ended_at:
                    return
                await rung.wait()
        finally:
            self._streams[assignment] -= 1
            self._streams += Counter()  # forgets those at zero

    def hear(self) -> None:
        """Something changed in some line."""
        self._news.set()

    async def run(self) -> None:
        """For ever: ring when there is news, and with each beat."""
        while True:
            with anyio.move_on_after(BEAT_S):
                await self._news.wait()
            self._news.clear()
            self.bell.ring()
            await anyio.sleep(PAUSE_S)

    async def _look_many(self, ids: Sequence[UUID]) -> Sequence[View | None]:
        async with self._db.connection() as conn:
            back = await see_people(conn, ids)
        for pool in sorted(back):  # a VM may be free that nobody else was there for
            await self._binder.bind(pool)
        async with self._db.connection() as conn:
            found = await read_followed(conn, ids)
            lines = sorted({one.assignment.pool for one in found.values() if one.position})
            paces = await read_paces(conn, lines) if lines else {}
        return [_view(found.get(key), paces) for key in ids]


def _view(one: Followed | None, paces: Mapping[str, Pace]) -> View | None:
    if one is None:
        return None
    pace = paces.get(one.assignment.pool)
    return View(one, estimate_s(pace, one.position) if pace and one.position else None)
