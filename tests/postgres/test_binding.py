"""Who gets which VM, against a real PostgreSQL: T1, T2, drains and releases, one after the other and all at once."""

import random
from uuid import UUID

import anyio
import pytest

from schemas.assignment import Assignment
from store.assignment import (
    Claim,
    bind_waiting,
    read_assignment,
    release_vm,
    request_seats,
)
from store.db import Db, fetch, open_db, transaction
from store.line import read_followed
from store.seat import close_seat, drain_seat, free_seats
from store.vm import Contact, Report, record_reports, write_heard
from tests.api.world import add_vms

pytestmark = pytest.mark.anyio

POOL = "client"


async def ask(db: Db, email: str, **more: object) -> Assignment | None:
    claim = Claim(**{"pool": POOL, "email": email, "crd_code": "4/x", "drawn_pin": "123456", **more})  # type: ignore[arg-type]
    async with transaction(db) as conn:
        return (await request_seats(conn, [claim])).get(email)


async def bind(db: Db) -> list[str]:
    async with transaction(db) as conn:
        return [one.hostname for one in await bind_waiting(conn, POOL) if one.hostname]


async def add(db: Db, count: int) -> list[str]:
    names = [f"lab-client-test-{n:03}" for n in range(count)]
    async with transaction(db) as conn:
        await add_vms(conn, names, POOL)
    return names


async def free(db: Db, names: list[str]) -> list[tuple[str, str, bool]]:
    async with transaction(db) as conn:
        return await free_seats(conn, names)


async def seats(db: Db) -> dict[str, str]:
    async with db.connection() as conn:
        return {row["hostname"]: row["state"] for row in await fetch(conn, "SELECT hostname, state FROM seat")}


async def test_first_in_line_gets_the_vm_that_was_free_longest(dsn: str) -> None:
    async with open_db(dsn) as db:
        names = await add(db, 3)
        for name in (names[1], names[0]):
            await free(db, [name])
        first, second, third = [await ask(db, f"{n}@example.org") for n in range(3)]
        assert await bind(db)
        assert first
        assert second
        assert third
        async with db.connection() as conn:
            assert (await read_assignment(conn, first.id)).hostname == names[1]  # type: ignore[union-attr]
            assert (await read_assignment(conn, second.id)).hostname == names[0]  # type: ignore[union-attr]
            followed = await read_followed(conn, [third.id])
        assert followed[third.id].position == 1


async def test_vm_that_asks_is_free_once_and_ready_once(dsn: str) -> None:
    async with open_db(dsn) as db:
        (name,) = await add(db, 1)
        assert await free(db, [name]) == [(name, POOL, True)]
        assert await free(db, [name]) == []
        async with transaction(db) as conn:
            await close_seat(conn, POOL, name)
        assert await free(db, [name]) == [(name, POOL, False)]


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE vm SET phase = 'planned'",
        "UPDATE vm SET phase = 'draining'",
        "UPDATE vm SET cordoned = true",
        "UPDATE seat SET state = 'draining'",
    ],
)
async def test_vm_that_must_not_be_given_is_not_freed(dsn: str, spoil: str) -> None:
    async with open_db(dsn) as db:
        names = await add(db, 1)
        async with db.connection() as conn:
            await conn.execute(spoil)
        assert await free(db, names) == []


async def test_storm_of_requests_and_ready_vms_leaves_no_vm_idle(dsn: str) -> None:
    """Requests, readiness, heartbeats and T2s in any order, each followed by its T2: exactly the right number meet."""
    async with open_db(dsn, max_size=16) as db:
        names = await add(db, 60)

        async def come(email: str) -> None:
            assert await ask(db, email)
            await bind(db)

        async def ready(name: str) -> None:
            async with transaction(db) as conn:
                await write_heard(conn, [Contact(name)])
                await record_reports(conn, [Report(name, in_use=False, reporter=True)])
            await free(db, [name])
            await bind(db)

        steps = [(come, f"{n}@example.org") for n in range(90)] + [(ready, name) for name in names]
        random.Random(7).shuffle(steps)
        async with anyio.create_task_group() as tasks:
            for act, who in steps:
                tasks.start_soon(act, who)
        async with db.connection() as conn:
            bound = await fetch(conn, "SELECT hostname FROM assignment WHERE status = 'active'")
        assert sorted(row["hostname"] for row in bound) == names
        assert set((await seats(db)).values()) == {"taken"}


async def test_one_email_has_one_open_assignment_however_often_it_asks_at_once(dsn: str) -> None:
    async with open_db(dsn, max_size=16) as db:
        made: list[UUID] = []

        async def click() -> None:
            assignment = await ask(db, "ada@example.org")
            assert assignment
            made.append(assignment.id)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(click)
        assert len(set(made)) == 1


async def test_only_proof_reaches_an_open_assignment(dsn: str) -> None:
    async with open_db(dsn) as db:
        first = await ask(db, "ada@example.org", pin="654321")
        assert first
        async with db.connection() as conn:
            await conn.execute("UPDATE assignment SET created_at = now() - interval '2 minutes'")
        assert await ask(db, "ada@example.org") is None  # the same code later is no double click
        assert await ask(db, "ada@example.org", pin="000000", crd_code="4/y") is None
        by_pin = await ask(db, "ada@example.org", pin="654321", crd_code="4/y")
        by_cookie = await ask(db, "ada@example.org", proven=first.id, crd_code="4/z")
        opened = await ask(db, "ada@example.org", open=True, crd_code="4/a")
        assert by_pin
        assert by_cookie
        assert opened
        assert [a.code_version for a in (by_pin, by_cookie, opened)] == [2, 3, 4]
        assert {a.id for a in (by_pin, by_cookie, opened)} == {first.id}


async def test_drain_takes_free_seats_and_never_a_persons(dsn: str) -> None:
    async with open_db(dsn, max_size=16) as db:
        names = await add(db, 20)
        await free(db, names)
        drained: set[str] = set()

        async def drain(name: str) -> None:
            async with transaction(db) as conn:
                if await drain_seat(conn, POOL, name):
                    drained.add(name)

        async def come(n: int) -> None:
            await ask(db, f"{n}@example.org")
            await bind(db)

        async with anyio.create_task_group() as tasks:
            for n, name in enumerate(names):
                tasks.start_soon(drain, name)
                tasks.start_soon(come, n)
        states = await seats(db)
        assert {name for name, state in states.items() if state == "draining"} == drained
        assert all(state in ("taken", "draining") for state in states.values())
        assert await free(db, names) == []  # draining never goes back


async def test_released_vm_ends_the_assignment_and_drains(dsn: str) -> None:
    async with open_db(dsn) as db:
        names = await add(db, 1)
        await free(db, names)
        assert await ask(db, "ada@example.org")
        await bind(db)
        async with transaction(db) as conn:
            assert await release_vm(conn, POOL, names[0], "admin/ada", "done")
            assert not await release_vm(conn, POOL, names[0], "admin/ada", "done")
        assert await seats(db) == {names[0]: "draining"}
        async with db.connection() as conn:
            ended = await fetch(conn, "SELECT status, end_reason FROM assignment")
        assert ended == [{"status": "ended", "end_reason": "done"}]
        assert await ask(db, "ada@example.org")  # and may ask again


async def test_more_than_a_batch_is_bound_by_calling_again(dsn: str) -> None:
    async with open_db(dsn) as db:
        await free(db, await add(db, 130))
        for n in range(130):
            await ask(db, f"{n}@example.org")
        assert [len(await bind(db)) for _ in range(3)] == [100, 30, 0]


async def test_overlapping_reports_of_many_do_not_deadlock(dsn: str) -> None:
    async with open_db(dsn, max_size=16) as db:
        names = await add(db, 40)

        async def report(n: int) -> None:
            order = random.Random(n).sample(names, len(names))
            async with transaction(db) as conn:
                await record_reports(conn, [Report(name, in_use=bool(n % 2), cloud_init_s=float(n)) for name in order])
            async with transaction(db) as conn:
                await write_heard(conn, [Contact(name, gauges={f"g{n}": n}) for name in order])

        async with anyio.create_task_group() as tasks:
            for n in range(24):
                tasks.start_soon(report, n)
        async with db.connection() as conn:
            (row,) = await fetch(
                conn, "SELECT min(cardinality(ARRAY(SELECT jsonb_object_keys(gauges)))) AS n FROM vm_heard"
            )
        assert row["n"] == 24
