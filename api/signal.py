"""A bell that many coroutines wait for: rung when something new can be read, closed when the process ends."""

import asyncio


class Signal:
    """Followers read first and wait then: `mark` before the read, so that a ring between the two is not missed."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.closed = False

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    def close(self) -> None:
        """Ring for the last time: followers end."""
        self.closed = True
        self.ring()

    def mark(self) -> asyncio.Event:
        """What will be set by the next ring after this call."""
        return self._rung
