"""An event loop whose time is virtual: it jumps to the next timer whenever nothing is left to do, and waits for nothing real.

Everything in it is in one order for one seed: no thread works beside it, and sets of tasks are walked in the order in which the tasks
were made.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import anyio
from anyio import to_thread

T = TypeVar("T")
_numbers = count(1)


class _Numbered(asyncio.Task[Any]):
    """anyio keeps tasks in sets, whose order would be that of their addresses."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*arguments, **more)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Selector(selectors.SelectSelector):
    """Lets time pass instead of waiting."""

    def __init__(self, let_pass: Callable[[float], None]) -> None:
        super().__init__()
        self._let_pass = let_pass

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for another: nothing would ever happen again")
        if timeout > 0:
            self._let_pass(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual_now = 0.0
        super().__init__(_Selector(self._let_pass))
        self._clock_resolution = 1e-6
        self.set_task_factory(lambda loop, coroutine, **more: _Numbered(coroutine, loop=loop, **more))

    def _let_pass(self, seconds: float) -> None:
        self._virtual_now += seconds

    def time(self) -> float:
        return self._virtual_now


def run_virtually(main: Callable[[], Awaitable[T]]) -> T:
    """`main` in virtual time; returns when it is done, however long that takes there."""
    with _inline_threads():
        return anyio.run(main, backend_options={"loop_factory": VirtualLoop})


@contextmanager
def _inline_threads() -> Iterator[None]:
    """What the program does in worker threads is done at once, for threads end when they like."""

    async def run_inline(work: Callable[..., T], *arguments: Any, **_: Any) -> T:
        return work(*arguments)

    threaded = to_thread.run_sync
    to_thread.run_sync = run_inline  # type: ignore[assignment]
    try:
        yield
    finally:
        to_thread.run_sync = threaded
