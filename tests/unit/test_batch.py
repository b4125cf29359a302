"""Group commit: what is shared, in which order it is answered, and that nobody is left waiting."""

import asyncio
from collections.abc import Sequence

import pytest

from api.batch import Batch

pytestmark = pytest.mark.anyio


class Slow:
    """Doubles numbers, as soon as it may."""

    def __init__(self, at_once: int, most: int = 100) -> None:
        self.calls: list[list[int]] = []
        self.busy = self.busiest = 0
        self.may = asyncio.Event()
        self.batch: Batch[int, int] = Batch(self.run, at_once, most)

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(items))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await self.may.wait()
        self.busy -= 1
        if -1 in items:
            raise ValueError("one of them is wrong")
        return [item * 2 for item in items]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_who_comes_while_all_calls_are_busy_shares_the_next(at_once: int) -> None:
    slow = Slow(at_once)
    tasks = []
    for n in range(10):
        tasks.append(asyncio.create_task(slow.batch(n)))
        await settle()
    assert slow.calls == [[n] for n in range(at_once)]
    slow.may.set()
    assert await asyncio.gather(*tasks) == [n * 2 for n in range(10)]
    assert slow.calls[at_once:] == [list(range(at_once, 10))]
    assert slow.busiest == at_once


async def test_a_crowd_is_taken_in_parts_and_who_is_done_does_not_wait_for_the_next() -> None:
    slow = Slow(1, most=4)
    tasks = [asyncio.create_task(slow.batch(n)) for n in range(10)]
    await settle()
    assert slow.calls == [[0, 1, 2, 3]], "the first call has who is on the way already"
    slow.may.set()
    slow.may.clear()  # only the call that waits already may end
    await settle()
    assert slow.calls[1:] == [[4, 5, 6, 7]]
    assert [task.done() for task in tasks] == [True] * 4 + [False] * 6
    slow.may.set()
    assert await asyncio.gather(*tasks) == [n * 2 for n in range(10)]


@pytest.mark.parametrize("at_once", [1, 2])
async def test_who_comes_at_the_moment_when_a_call_ends_is_answered(at_once: int) -> None:
    slow = Slow(at_once)
    slow.may.set()
    for n in range(50):
        assert await asyncio.wait_for(slow.batch(n), 30) == n * 2


async def test_error_reaches_those_of_its_call_and_nobody_else() -> None:
    slow = Slow(2)
    bad = asyncio.create_task(slow.batch(-1))
    await settle()
    good = asyncio.create_task(slow.batch(3))
    await settle()
    slow.may.set()
    assert await good == 6
    with pytest.raises(ValueError, match="one of them"):
        await bad
    assert await slow.batch(4) == 8
