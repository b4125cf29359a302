"""Group commit: many callers of one kind share few statements at a time, so their number costs nothing but its size."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batch(Generic[Item, Answer]):
    """`run` gets the items that arrived while its calls were busy, `most` at a time, and answers them in their order.

    An item is always part of a call that began after it arrived. `at_once` calls are in flight at most: with more than one, work here and a
    commit there overlap. An exception of `run` reaches all whose items it had.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        at_once: int = 1,
        most: int = sys.maxsize,
    ) -> None:
        self._run = run
        self._at_once = at_once
        self._most = most
        self._arrived: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._draining = 0
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds them weakly

    async def __call__(self, item: Item) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._arrived.append((item, future))
        if self._draining < self._at_once:
            self._draining += 1
            self._tasks.add(task := asyncio.create_task(self._drain()))
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)  # who is on the way already comes along: in a storm the first call has many
            while self._arrived:
                taken, self._arrived = self._arrived[: self._most], self._arrived[self._most :]
                await self._answer(taken)
        finally:
            self._draining -= 1  # at once: who arrives before the task is seen to be done must not wait for it

    async def _answer(self, taken: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._run([item for item, _ in taken])
        except Exception as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():  # its caller may have hung up
                future.set_result(answer)
