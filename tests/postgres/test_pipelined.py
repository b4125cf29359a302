"""A transaction in pipeline mode: whole or not at all, whenever a statement's error is noticed, and its connection can be lent again."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from psycopg.errors import DivisionByZero

from store.db import Connection, Db, fetch, fetch_one, open_db, pipelined_transaction

pytestmark = pytest.mark.anyio

WRITE = "INSERT INTO event (actor, subject, reason, message) VALUES ('test', 'deployment', %s, '')"
READ = "SELECT reason FROM event WHERE actor = 'test' ORDER BY id"


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=1) as db:
        yield db


async def reasons(db: Db) -> list[str]:
    async with db.connection() as conn:
        return [row["reason"] for row in await fetch(conn, READ)]


async def test_what_nobody_fetched_is_committed_too(db: Db) -> None:
    async with pipelined_transaction(db) as conn:
        await conn.execute(WRITE, ["First"])
        assert (await fetch_one(conn, "SELECT 1 AS one")) == {"one": 1}
        await conn.execute(WRITE, ["Second"])
    assert await reasons(db) == ["First", "Second"]


async def fail_unseen(conn: Connection) -> None:
    await conn.execute("SELECT 1/0")


async def fail_at_a_fetch(conn: Connection) -> None:
    await fetch(conn, "SELECT 1/0")


async def fail_ourselves(conn: Connection) -> None:
    await fetch(conn, READ)
    await conn.execute(WRITE, ["Pending"])
    raise ZeroDivisionError


@pytest.mark.parametrize("fail", [fail_unseen, fail_at_a_fetch, fail_ourselves])
async def test_an_error_takes_all_of_it_back(db: Db, fail: Callable[[Connection], Awaitable[None]]) -> None:
    async def write() -> None:
        async with pipelined_transaction(db) as conn:
            await conn.execute(WRITE, ["First"])
            await fail(conn)

    with pytest.raises((DivisionByZero, ZeroDivisionError)):
        await write()
    assert await reasons(db) == []
