"""A small runtime for handlers: plain async functions, listed in one tuple with what wakes them, in the style of kopf.

Each (handler, key) runs at most once at a time; wake-ups that come meanwhile are folded into one more run. A timer wakes what
no message did, so a lost message costs a delay and nothing else. Used by `controller.__main__`; knows nothing of pools or VMs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import anyio
import structlog
from anyio.abc import TaskGroup
from structlog.contextvars import bound_contextvars

from controller.errors import NeedsOperator, RetryLater
from store.db import UNREACHABLE
from store.lease import LeaseLost

log = structlog.get_logger()

TURNS = count(1)
"""Numbers that the log's lines about one run of a handler share."""
ERROR_PAUSE_S = 5.0
"""After an error that nobody expected; the next run starts from what is true then."""


@dataclass(frozen=True, slots=True)
class Handler:
    """`run` is called with a key for each wake-up on one of its channels, and with `timer_key` every `every_s()` seconds.

    One that is not `keyed` is about everything at once: whatever key a wake-up has, it runs for `timer_key`, never twice at a time.
    """

    name: str
    run: Callable[[str], Awaitable[float | None]]  # seconds after which it wants to run again, or None
    channels: tuple[str, ...] = ()
    every_s: Callable[[], float] | None = None
    timer_key: str = ""
    keyed: bool = True


@dataclass(slots=True)
class _Entry:
    again: bool = False
    later: anyio.CancelScope | None = None  # the one run that was put off; any run before it takes its place
    rested: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.rested.set()

    @property
    def running(self) -> bool:
        return not self.rested.is_set()


@dataclass
class Runtime:
    """Runs handlers until its task is cancelled; `drain` lets those that are running end before that."""

    handlers: tuple[Handler, ...] = ()
    _entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    _group: TaskGroup | None = None
    _stopping: bool = False

    async def run(self) -> None:
        """Until cancelled. Raises LeaseLost (in an exception group) as soon as a handler meets it."""
        async with anyio.create_task_group() as group:
            self._group = group
            for handler in self.handlers:
                if handler.every_s:
                    group.start_soon(self._tick, handler)
            await anyio.sleep_forever()

    def wake(self, channel: str, key: str = "") -> None:
        """Run the handlers that listen on `channel` for `key`, soon, once."""
        for handler in self.handlers:
            if channel in handler.channels:
                self._enqueue(handler, key if handler.keyed else handler.timer_key)

    async def drain(self, grace_s: float) -> None:
        """Start nothing more and wait for what is running, at most `grace_s` seconds."""
        self._stopping = True
        with anyio.move_on_after(grace_s):
            for entry in list(self._entries.values()):  # what is woken meanwhile adds entries that never run
                await entry.rested.wait()

    def _enqueue(self, handler: Handler, key: str) -> None:
        entry = self._entries.setdefault((handler.name, key), _Entry())
        if entry.running:
            entry.again = True
        elif self._group and not self._stopping:
            if entry.later:
                entry.later.cancel()
            entry.rested = anyio.Event()
            self._group.start_soon(self._run_key, handler, key, entry)

    async def _run_key(self, handler: Handler, key: str, entry: _Entry) -> None:
        pause_s: float | None = None
        try:
            with bound_contextvars(handler=handler.name, key=key, turn=next(TURNS)):
                pause_s = await self._attempt(handler, key)
        finally:
            entry.rested.set()
        if self._stopping:
            return
        if entry.again:
            entry.again = False
            self._enqueue(handler, key)
        elif pause_s is not None and self._group:
            entry.later = anyio.CancelScope()
            self._group.start_soon(self._later, handler, key, pause_s, entry.later)

    async def _attempt(self, handler: Handler, key: str) -> float | None:
        try:
            return await _run_handler(handler, key)
        except LeaseLost:
            raise
        except RetryLater as later:
            log.info("retry later", delay_s=later.delay_s, reason=str(later))
            return later.delay_s
        except NeedsOperator as reason:
            log.warning("needs an operator", reason=str(reason))
            return None
        except UNREACHABLE as error:
            log.warning("the database cannot be reached; trying again", error=str(error))
            return ERROR_PAUSE_S
        except Exception:
            log.exception("a handler failed; trying again")
            return ERROR_PAUSE_S

    async def _later(self, handler: Handler, key: str, pause_s: float, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep(pause_s)
        if not scope.cancelled_caught:
            self._enqueue(handler, key)

    async def _tick(self, handler: Handler) -> None:
        assert handler.every_s
        while True:
            self._enqueue(handler, handler.timer_key)
            await anyio.sleep(handler.every_s())


async def _run_handler(handler: Handler, key: str) -> float | None:
    """Of what several of its tasks raise at once the gravest counts: a lost lease, then all but a lost connection."""
    try:
        return await handler.run(key)
    except ExceptionGroup as several:
        leases, others = several.split(LeaseLost)
        _, others = others.split(UNREACHABLE) if others else (None, None)
        raise _first(leases or others or several) from several


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
