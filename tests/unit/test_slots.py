"""How many creates a region has in flight, over all runs."""

from contextlib import AsyncExitStack

import anyio
import pytest

from controller.slots import MOST_CREATES, MOST_EACH, Slots

REGION = "us-west-2"


@pytest.mark.anyio
async def test_states_are_made_side_by_side_until_the_region_has_enough() -> None:
    slots, late = Slots(), anyio.Event()

    async def come_late() -> None:
        async with slots.creates(REGION, 50):
            late.set()

    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        granted = [await stack.enter_async_context(slots.creates(REGION, 50)) for _ in range(MOST_CREATES // MOST_EACH)]
        assert granted == [MOST_EACH] * 3
        group.start_soon(come_late)
        await anyio.wait_all_tasks_blocked()
        assert not late.is_set()
        async with slots.creates("eu-west-1", 2) as elsewhere:
            assert elsewhere == 2
        await stack.aclose()
    assert late.is_set()


@pytest.mark.anyio
async def test_the_last_run_gets_what_is_left() -> None:
    slots = Slots(most_creates=12)
    async with slots.creates(REGION, 50), slots.creates(REGION, 50) as left:
        assert left == 2


@pytest.mark.anyio
async def test_a_run_that_creates_nothing_waits_for_nobody() -> None:
    slots = Slots(most_creates=1)
    async with slots.creates(REGION, 1), slots.creates(REGION, 0) as parallelism:
        assert parallelism == MOST_EACH
