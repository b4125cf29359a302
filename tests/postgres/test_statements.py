"""How many statements something takes: as many for thousands of VMs and people as for a few."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from psycopg import AsyncCursor

from api.binder import Binder
from api.contact import Contacts
from api.desk import Desk
from api.waiters import Waiters
from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import Claim
from store.db import Db, open_db, transaction
from store.seat import free_seats
from store.state import Observation, read_snapshot
from tests.api.world import add_vms, declare

pytestmark = pytest.mark.anyio

NAMES = [f"lab-client-test-{n}" for n in range(1, 101)]


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        await declare(db)
        yield db


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement from now on, but for the empty one by which a pool checks a connection that was idle for a while."""
    statements: list[str] = []
    execute = AsyncCursor.execute

    async def note(cursor: Any, query: Any, *rest: Any, **more: Any) -> Any:
        statements.extend([str(query)] if query else [])
        return await execute(cursor, query, *rest, **more)

    monkeypatch.setattr(AsyncCursor, "execute", note)
    return statements


async def add(db: Db, names: list[str]) -> None:
    async with transaction(db) as conn:
        await add_vms(conn, names, "client")
        await free_seats(conn, names)


async def test_a_tick_reads_by_as_many_statements_for_a_hundred_vms_as_for_one(db: Db, said: list[str]) -> None:
    counts = []
    for names in (NAMES[:1], NAMES[1:]):
        await add(db, names)
        said.clear()
        snapshot = await read_snapshot(db, Observation({}, None, 0.0))
        assert snapshot is not None
        counts.append((len(snapshot.vms), len(said)))
    (few, for_few), (many, for_many) = counts
    assert (few, many) == (1, len(NAMES))
    assert for_few == for_many


async def test_people_who_ask_at_once_share_statements_and_one_notification(db: Db, said: list[str]) -> None:
    await add(db, NAMES)
    desk = Desk(db, Waiters(db, Binder(db), Contacts(db)))
    answers: list[Assignment | None] = []

    async def ask(n: int) -> None:
        answers.append(await desk.ask(Claim("client", f"person{n}@example.org", f"code{n}", "123456")))

    await ask(0)
    for_one = len(said)
    said.clear()
    async with anyio.create_task_group() as people:
        for n in range(1, 61):
            people.start_soon(ask, n)
    assert all(one and one.status is AssignmentStatus.ACTIVE for one in answers)
    assert len(said) <= for_one * 2  # who came while a transaction was at work share the next one
    assert sum("pg_notify" in statement for statement in said) <= 2
