"""No wake-up is lost: with the slow poll off, with LISTEN killed or half-open, for many at once; one LISTEN connection a process.

A process tells the VMs that wait in it itself, so here people mostly ask another one. Of the trials under a LISTEN that is killed at random
there are a few; `LABLINK_TEST_WAKEUPS=2000` for as many.
"""

import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY

from store import listen
from tests.api.silent_proxy import SilentProxy
from tests.api.test_held_calls import start_polls
from tests.api.world import World, eventually, serving

pytestmark = pytest.mark.anyio

TRIALS = int(os.environ.get("LABLINK_TEST_WAKEUPS", "150"))
AT_ONCE = 25
LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'lablink-listen' AND datname = current_database()"
)
KILL_LISTEN = f"SELECT pid, pg_terminate_backend(pid) FROM ({LISTENERS}) AS listening"


@asynccontextmanager
async def two_processes(dsn: str, **settings: Any) -> AsyncIterator[tuple[World, World]]:
    """One that holds the calls, and one that people ask: what it binds is heard by LISTEN alone."""
    async with serving(dsn, slow_poll_s=0, **settings) as holding, serving(dsn, yaml=None, slow_poll_s=0) as asked:
        yield holding, asked


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """PostgreSQL backends that do not run meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_poll_and_request_in_either_order_meet(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        names = await world.add_vms(40)
        told: list[str] = []

        async def poll(name: str) -> None:
            told.append((await world.poll(name)).json()["pin"])

        async def request(n: int) -> None:
            await world.request(f"user{n}@example.org")

        for n, name in enumerate(names):  # requests find VMs that poll, that have just polled, that will poll
            tasks.start_soon(request, n)
            tasks.start_soon(poll, name)
        await eventually(lambda: len(told) == 40)


async def test_nothing_is_lost_while_listen_is_killed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "RETRY_S", 0.1)
    async with two_processes(dsn) as (world, asked), anyio.create_task_group() as tasks:
        names = await world.add_vms(60)
        answers = await start_polls(world, names, tasks)
        timed = count_timed()
        for n in range(60):
            if n % 6 == 0:
                await world.sql(KILL_LISTEN)
            await asked.request(f"user{n}@example.org")
        await eventually(lambda: len(answers) == 60)
        seats = await world.sql("SELECT hostname, pin FROM assignment")
        assert {name: answer.json()["pin"] for name, answer in answers.items()} == {
            s["hostname"]: s["pin"] for s in seats
        }
        assert count_timed() == timed + 60


def count_timed() -> float:
    """Wake-ups of this process that `/metrics` tells the time of."""
    return REGISTRY.get_sample_value("lablink_wake_up_seconds_count") or 0.0


async def test_trials_under_a_listen_killed_at_random_lose_none_and_tell_no_other(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "RETRY_S", 0.02)
    async with two_processes(dsn) as (world, asked), anyio.create_task_group() as killing:
        killed: list[int] = []
        killing.start_soon(kill_at_random, world, killed)
        told: dict[str, tuple[str, str]] = {}
        for first in range(1, TRIALS + 1, AT_ONCE):
            names = await world.add_vms(min(AT_ONCE, TRIALS + 1 - first), first=first)
            await try_wake_ups(world, asked, names, told)
        killing.cancel_scope.cancel()
        people = await world.sql("SELECT hostname, pin, crd_code FROM assignment WHERE status = 'active'")
        assert told == {one["hostname"]: (one["pin"], one["crd_code"]) for one in people}
        assert len(told) == TRIALS
        assert len(killed) > TRIALS // AT_ONCE  # each time a living one


async def kill_at_random(world: World, killed: list[int]) -> None:
    """For ever; the processes that were ended."""
    while True:
        await anyio.sleep(random.uniform(0, 0.15))
        killed += [row["pid"] for row in await world.sql(KILL_LISTEN) if row["pid"] not in killed]


async def try_wake_ups(world: World, asked: World, names: list[str], told: dict[str, tuple[str, str]]) -> None:
    """As many people as VMs, each at a moment of its own; done when each VM was told somebody."""

    async def poll(name: str) -> None:
        await anyio.sleep(random.uniform(0, 0.2))
        answer = (await world.poll(name)).json()
        told[name] = (answer["pin"], answer["command"].partition('--code="')[2].partition('"')[0])

    async def ask(name: str) -> None:
        await anyio.sleep(random.uniform(0, 0.4))
        assert (await asked.request(f"{name}@example.org", name)).status_code in (200, 503)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(poll, name)
                tasks.start_soon(ask, name)


async def test_listen_behind_a_connection_that_goes_silent_costs_seconds(dsn: str) -> None:
    """With the real waits: silence is found by a statement that stays unanswered, and a new connection made."""
    assert listen.QUIET_S + listen.ANSWER_S + listen.RETRY_S <= 15
    async with SilentProxy(dsn) as proxy, two_processes(dsn, database_dsn=proxy.dsn) as (world, asked):
        async with anyio.create_task_group() as tasks:
            (name,) = await world.add_vms()
            answers = await start_polls(world, [name], tasks)
            assert proxy.happened == ["connected"]
            proxy.go_silent()
            assert (await asked.request("ada@example.org")).status_code == 200
            proxy.happened.append("asked")
            await eventually(lambda: answers)
            proxy.happened.append("told")
        assert proxy.happened[:3] == ["connected", "silent", "asked"]
        assert proxy.happened[-1] == "told"
        assert set(proxy.happened[3:-1]) == {"connected"}  # one cancels the statement, one is the new LISTEN


async def test_half_open_listen_is_found_and_replaced(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's side is stopped dead (SIGSTOP): the socket stays open and says nothing, as behind a broken NAT."""
    monkeypatch.setattr(listen, "QUIET_S", 0.5)
    monkeypatch.setattr(listen, "ANSWER_S", 0.5)
    async with two_processes(dsn) as (world, asked), anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        answers = await start_polls(world, [name], tasks)
        with stopped([listener["pid"] for listener in await world.sql(LISTENERS)]):
            await asked.request("ada@example.org")
            await eventually(lambda: answers)
        assert answers[name].json()["status"] == "success"


async def test_a_thousand_calls_share_one_listen_connection(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        names = await world.add_vms(1000)
        answers = await start_polls(world, names, tasks)
        assert len(world.app.state.waiters) == 1000
        assert len(await world.sql(LISTENERS)) == 1
        (held,) = await world.sql("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()")
        assert held["n"] <= 8
        await world.request("ada@example.org")
        await eventually(lambda: answers)
        tasks.cancel_scope.cancel()


async def test_database_that_comes_back_is_found_again(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        answers = await start_polls(world, [name], tasks)
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        async def seated() -> bool:
            return (await world.request("ada@example.org")).status_code == 200

        await eventually(seated)
        await eventually(lambda: answers)


async def test_who_binds_tells_the_vm_that_waits_in_the_same_process_without_listen(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        answers = await start_polls(world, [name], tasks)
        with stopped([listener["pid"] for listener in await world.sql(LISTENERS)]):
            seat = (await world.request("ada@example.org")).json()
            await eventually(lambda: answers)
        assert answers[name].json()["pin"] == seat["pin"]


async def test_request_at_one_process_wakes_the_call_held_by_another(dsn: str) -> None:
    async with two_processes(dsn) as (two, one):
        async with anyio.create_task_group() as tasks:
            (name,) = await one.add_vms()
            answers = await start_polls(two, [name], tasks)
            seat = (await one.request("ada@example.org")).json()
            await eventually(lambda: answers)
            assert answers[name].json()["pin"] == seat["pin"]
        assert len(await one.sql("SELECT id FROM api_process")) == 2
    async with serving(dsn, yaml=None) as world:
        assert len(await world.sql("SELECT id FROM api_process")) <= 1  # who stops says so
