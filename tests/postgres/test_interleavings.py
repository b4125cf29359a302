"""Statements of two programs between each other's, in every order of few switches: what must hold holds after each."""

from collections.abc import AsyncIterator, Awaitable
from itertools import count

import pytest

from store.assignment import release_vm
from store.db import Db, fetch, open_db, transaction
from store.lease import LeaseLost, fenced, take_lease
from store.run import start_run
from store.seat import drain_seat
from store.tfstate import lock_state
from tests.api.world import add_vms
from tests.postgres.interleave import Act, play_all, watch
from tests.postgres.test_binding import POOL, ask, bind, free

pytestmark = pytest.mark.anyio
ORDERS = 20
CLEAR = ("vm", "seat", "assignment", "lease", "run", "tf_state")
SEATED = "SELECT a.email, s.hostname, s.state FROM seat s LEFT JOIN assignment a ON a.id = s.assignment_id AND a.status = 'active'"
ACTIVE = "SELECT email, hostname FROM assignment WHERE status = 'active'"
_numbers = count(1)


@pytest.fixture
async def db(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=6) as db:
        watch(monkeypatch)
        yield db


async def clear(db: Db) -> str:
    """The name of a VM that is there, alone."""
    name = f"lab-client-test-{next(_numbers):03}"
    async with transaction(db) as conn:
        for table in CLEAR:
            await conn.execute(f"DELETE FROM {table}".encode())
        await add_vms(conn, [name], POOL)
    return name


async def rows(db: Db, sql: str) -> list[dict[str, object]]:
    async with db.connection() as conn:
        return [dict(row) for row in await fetch(conn, sql)]


async def in_transaction(db: Db, act: object, *arguments: object) -> object:
    async with transaction(db) as conn:
        return await act(conn, *arguments)  # type: ignore[operator]


async def test_a_person_and_a_vm_that_come_together_always_meet(db: Db) -> None:
    async def begin() -> tuple[Act, Act]:
        name = await clear(db)

        async def come() -> None:
            await ask(db, "ada@example.org")
            await bind(db)

        async def ready() -> None:
            await free(db, [name])
            await bind(db)

        return come, ready

    orders = 0
    async for order in play_all(db, begin):
        (seat,) = await rows(db, SEATED)
        assert (seat["email"], seat["state"]) == ("ada@example.org", "taken"), order
        orders += 1
    assert orders > ORDERS


async def test_a_vm_that_ends_is_given_to_nobody(db: Db) -> None:
    drained: list[bool] = []

    async def begin() -> tuple[Act, Act]:
        name = await clear(db)
        await free(db, [name])
        await ask(db, "ada@example.org")
        drained.clear()

        async def drain() -> None:
            async with transaction(db) as conn:
                drained.append(await drain_seat(conn, POOL, name))

        return drain, lambda: bind(db)

    orders = 0
    async for order in play_all(db, begin):
        (seat,) = await rows(db, SEATED)
        assert (seat["state"], seat["email"]) == (("draining", None) if drained[0] else ("taken", "ada@example.org")), (
            order
        )
        orders += 1
    assert orders > ORDERS


async def test_a_vm_that_is_given_back_has_one_person_at_most(db: Db) -> None:
    async def begin() -> tuple[Act, Act]:
        name = await clear(db)
        await free(db, [name])
        await ask(db, "ada@example.org")
        await bind(db)
        await ask(db, "ben@example.org")
        return lambda: in_transaction(db, release_vm, POOL, name, "admin/ada", "done"), lambda: bind(db)

    orders = 0
    async for order in play_all(db, begin):
        assert await rows(db, ACTIVE) == [], order
        (seat,) = await rows(db, SEATED)
        assert (seat["state"], seat["email"]) == ("draining", None), order
        orders += 1
    assert orders > ORDERS


async def succeeds(act: Awaitable[object]) -> bool:
    try:
        return await act is not None
    except LeaseLost:
        return False


async def test_one_of_two_leads_and_only_who_leads_has_written(db: Db) -> None:
    """The lease of the one runs out at the moment at which the other takes it: by PostgreSQL's clock, whichever statement is first."""
    written: list[bool] = []

    async def begin() -> tuple[Act, Act]:
        await clear(db)
        old = await take_lease(db, "host/1/a", 60)
        assert old
        written.clear()

        async def write() -> None:
            async with fenced(db, old) as conn:
                await conn.execute("UPDATE vm SET version = version + 1")
            written.append(True)

        async def take() -> None:
            async with transaction(db) as conn:
                await conn.execute("UPDATE lease SET expires_at = now() - interval '1 s'")  # as if time had passed
            assert await take_lease(db, "host/2/b", 60)

        return lambda: succeeds(write()), take

    orders = 0
    async for order in play_all(db, begin):
        (lease,) = await rows(db, "SELECT holder, token FROM lease")
        assert lease == {"holder": "host/2/b", "token": 2}, order
        (vm,) = await rows(db, "SELECT version FROM vm")
        assert vm["version"] == 1 + len(written), order
        orders += 1
    assert orders > 5


async def test_of_two_who_take_an_expired_lease_one_has_it(db: Db) -> None:
    taken: list[object] = []

    async def begin() -> tuple[Act, Act]:
        await clear(db)
        old = await take_lease(db, "host/1/a", -1)
        assert old
        taken.clear()

        async def take(holder: str) -> None:
            taken.append(await take_lease(db, holder, 60))

        return lambda: take("host/2/b"), lambda: take("host/3/c")

    async for order in play_all(db, begin):
        assert sum(one is not None for one in taken) == 1, order


async def test_of_two_runs_one_has_the_lock_of_their_state(db: Db) -> None:
    locked: list[bool] = []

    async def begin() -> tuple[Act, Act]:
        await clear(db)
        locked.clear()
        async with transaction(db) as conn:
            runs = [await start_run(conn, f"client/us-west-2/{n}", POOL, n, 60) for n in (1, 2)]

        async def lock(run: int | None) -> None:
            async with transaction(db) as conn:
                locked.append(await lock_state(conn, "client/us-west-2/1", run or 0, {"ID": str(run)}))

        return lambda: lock(runs[0]), lambda: lock(runs[1])

    async for order in play_all(db, begin):
        assert sorted(locked) == [False, True], order
