"""Who follows the logs of which VMs, and when there is something new: this process says so itself, the others are asked once a second.

Log writes send no NOTIFY (its lock at commit would halve them), so all followers of a process share one small query.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import anyio

from api.signal import Signal
from store.db import UNREACHABLE, Db
from store.vmlog_read import read_numbers

LOOK_S = 1.0


class LogFeed:
    """A bell for each followed VM; `run` rings those whose lines other processes wrote."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._bells: dict[str, Signal] = {}
        self._followers: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self.closed = False

    @contextmanager
    def follow(self, hostname: str) -> Iterator[Signal]:
        """The bell of this VM's log; rung for the last time, and closed, when the process ends."""
        bell = self._bells.setdefault(hostname, Signal())
        bell.closed = self.closed
        self._followers[hostname] = self._followers.get(hostname, 0) + 1
        try:
            yield bell
        finally:
            self._followers[hostname] -= 1
            if not self._followers[hostname]:
                for kept in (self._bells, self._followers, self._seen):
                    kept.pop(hostname, None)

    def ring(self, hostnames: Iterable[str]) -> None:
        """These logs have grown."""
        for hostname in hostnames:
            if bell := self._bells.get(hostname):
                bell.ring()

    def close(self) -> None:
        """All followers end."""
        self.closed = True
        for bell in self._bells.values():
            bell.close()

    async def run(self) -> None:
        """For ever."""
        while True:
            await anyio.sleep(LOOK_S)
            if self._bells:
                await self._look()

    async def _look(self) -> None:
        try:
            async with self._db.connection() as conn:
                numbers = await read_numbers(conn, list(self._bells))
        except UNREACHABLE:
            return  # the next look finds what came meanwhile
        self.ring(name for name, number in numbers.items() if self._seen.get(name) != number)
        self._seen.update(numbers)
