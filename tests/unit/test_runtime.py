"""The runtime runs each key once at a time, folds wake-ups, retries, and never lets one handler's error stop another."""

import anyio
import pytest
from psycopg import OperationalError
from structlog.testing import capture_logs

from controller.errors import RetryLater
from controller.runtime import Handler, Runtime
from store.lease import LeaseLost

pytestmark = pytest.mark.anyio


async def until(condition: object) -> None:
    assert callable(condition)
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.005)


async def test_wake_ups_during_a_run_fold_into_one_more() -> None:
    runs: list[str] = []
    gate = anyio.Event()

    async def run(key: str) -> None:
        runs.append(key)
        await gate.wait()

    runtime = Runtime((Handler("h", run, ("c",)),))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await anyio.sleep(0.01)
        for _ in range(10):
            runtime.wake("c", "a")
        runtime.wake("c", "b")
        await until(lambda: len(runs) == 2)
        for _ in range(10):
            runtime.wake("c", "a")
        gate.set()
        await until(lambda: len(runs) == 3)
        await anyio.sleep(0.02)
        assert sorted(runs) == ["a", "a", "b"]
        group.cancel_scope.cancel()


async def test_a_handler_that_fails_once_is_run_again_and_others_go_on() -> None:
    tries: list[str] = []
    others: list[str] = []

    async def fails(key: str) -> None:
        tries.append(key)
        if len(tries) == 1:
            raise RetryLater(0.01, "not yet")

    async def works(key: str) -> None:
        others.append(key)

    runtime = Runtime((Handler("fails", fails, ("c",)), Handler("works", works, every_s=lambda: 0.01)))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await anyio.sleep(0.01)
        runtime.wake("c", "x")
        await until(lambda: len(tries) == 2 and len(others) > 2)
        group.cancel_scope.cancel()


async def test_a_lost_lease_ends_everything() -> None:
    async def lost(key: str) -> None:
        raise LeaseLost("gone")

    runtime = Runtime((Handler("lost", lost, every_s=lambda: 0.01),))
    with pytest.raises(ExceptionGroup) as caught:
        await runtime.run()
    assert caught.group_contains(LeaseLost)


async def test_draining_waits_for_what_runs_and_starts_nothing_more() -> None:
    ended: list[str] = []

    async def slow(key: str) -> None:
        await anyio.sleep(0.05)
        ended.append(key)

    runtime = Runtime((Handler("slow", slow, ("c",)),))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await anyio.sleep(0.01)
        runtime.wake("c", "a")
        await anyio.sleep(0.01)
        runtime.wake("c", "a")
        await runtime.drain(5)
        runtime.wake("c", "b")
        await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    assert ended == ["a"]


async def test_a_run_that_was_put_off_is_replaced_by_the_one_that_comes_before_it() -> None:
    runs: list[str] = []

    async def run(key: str) -> float:
        runs.append(key)
        return 0.2

    runtime = Runtime((Handler("h", run, ("c",)),))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await anyio.sleep(0.01)
        for number in range(1, 6):
            runtime.wake("c", "a")
            await until(lambda number=number: len(runs) >= number)
        await until(lambda: len(runs) >= 6)
        await anyio.sleep(0.1)
        assert len(runs) == 6
        group.cancel_scope.cancel()


async def test_a_handler_without_keys_never_runs_twice_at_a_time_whatever_wakes_it() -> None:
    runs: list[str] = []
    gate = anyio.Event()

    async def run(key: str) -> None:
        runs.append(key)
        await gate.wait()

    runtime = Runtime((Handler("all", run, ("c", "d"), lambda: 60.0, keyed=False),))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await until(lambda: len(runs) == 1)
        runtime.wake("c", "a pool")
        runtime.wake("d", "a version")
        await anyio.sleep(0.02)
        assert len(runs) == 1
        gate.set()
        await until(lambda: len(runs) == 2)
        await anyio.sleep(0.02)
        assert runs == ["", ""]
        group.cancel_scope.cancel()


async def test_what_is_woken_for_the_first_time_while_all_drains_neither_runs_nor_disturbs() -> None:
    ended: list[str] = []

    async def slow(key: str) -> None:
        await anyio.sleep(0.05)
        runtime.wake("c", f"{key} and more")
        ended.append(key)

    runtime = Runtime((Handler("slow", slow, ("c",)),))
    async with anyio.create_task_group() as group:
        group.start_soon(runtime.run)
        await anyio.sleep(0.01)
        runtime.wake("c", "a")
        runtime.wake("c", "b")
        await anyio.sleep(0.01)
        await runtime.drain(5)
        group.cancel_scope.cancel()
    assert sorted(ended) == ["a", "b"]


def handlers_of(*errors: Exception) -> Handler:
    """One whose tasks raise these, all in one group."""

    async def run(_key: str) -> None:
        raise ExceptionGroup("of a task group", [ExceptionGroup("of another", list(errors))])

    return Handler("h", run, ("c",))


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([OperationalError("gone")], "the database cannot be reached; trying again"),
        ([OperationalError("gone"), ValueError("a slip")], "a handler failed; trying again"),
        ([RetryLater(0.01, "not yet"), OperationalError("gone")], "retry later"),
    ],
)
async def test_of_several_errors_at_once_the_gravest_counts(errors: list[Exception], said: str) -> None:
    runtime = Runtime((handlers_of(*errors),))
    with capture_logs() as lines:
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run)
            await anyio.sleep(0.01)
            runtime.wake("c", "a")
            await until(lambda: lines)
            group.cancel_scope.cancel()
    assert lines[0]["event"] == said


async def test_a_lease_that_is_lost_beside_other_errors_ends_the_runtime() -> None:
    runtime = Runtime((handlers_of(OperationalError("gone"), ValueError("a slip"), LeaseLost("taken")),))

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run)
            await anyio.sleep(0.01)
            runtime.wake("c", "a")

    with pytest.RaisesGroup(LeaseLost, flatten_subgroups=True):
        await run()
