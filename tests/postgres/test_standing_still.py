"""Whoever is stopped between two statements is seen to idle by PostgreSQL, whose limit then takes the locks back; in pipeline mode it sees nothing."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from api.binder import Binder
from api.contact import Contacts
from api.desk import Desk
from api.waiters import Waiters
from controller.progress import Progress
from store.assignment import Claim
from store.db import Connection, Db, open_db, transaction
from store.lease import fenced, take_lease
from store.seat import free_seats
from store.state import Observation, read_snapshot
from tests.api.world import add_vms, declare

pytestmark = pytest.mark.anyio

LOOK = """
SELECT count(*) FILTER (WHERE state = 'active' AND wait_event = 'ClientRead') AS unseen,
       count(*) FILTER (WHERE state = 'idle in transaction') AS idle
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
Looks = list[tuple[int, int]]
"""How many open transactions PostgreSQL (waits for unseen, sees to idle), each time that a client has an answer."""
NAMES = [f"lab-client-test-{n}" for n in range(3)]


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn) as db:
        await declare(db)
        async with transaction(db) as conn:
            await add_vms(conn, NAMES, "client")
            await free_seats(conn, NAMES)
        yield db


@pytest.fixture
def looks(dsn: str, db: Db, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    looks: Looks = []
    wait = AsyncConnection.wait
    with psycopg.connect(dsn, autocommit=True) as beside:

        async def wait_and_look(conn: Connection, *told: Any, **more: Any) -> Any:
            answer = await wait(conn, *told, **more)
            looks.extend(beside.execute(LOOK).fetchall())
            return answer

        monkeypatch.setattr(AsyncConnection, "wait", wait_and_look)
        yield looks
        monkeypatch.undo()


def check(looks: Looks) -> None:
    assert max(idle for _, idle in looks) > 0, "nobody was seen in a transaction: the test looks at the wrong moments"
    assert max(unseen for unseen, _ in looks) == 0


async def test_the_desk_keeps_no_pool_from_the_others(db: Db, looks: Looks) -> None:
    desk = Desk(db, Waiters(db, Binder(db), Contacts(db)))
    assert await desk.ask(Claim("client", "ada@example.org", "4/code", "123456"))
    check(looks)


async def test_a_run_that_tells_of_its_progress_keeps_no_lease(db: Db, looks: Looks) -> None:
    lease = await take_lease(db, "test", ttl_s=600)
    assert lease is not None
    progress = Progress("client", 1)
    for verb in ("create", "delete"):
        hook = {"resource": {"addr": f'aws_instance.vm["{NAMES[0]}"]'}, "action": verb}
        progress.take({"type": "apply_start", "@timestamp": "2026-11-28T09:00:00Z", "@message": verb, "hook": hook})
    looks.clear()
    async with fenced(db, lease) as conn:
        await progress.write(conn)
    check(looks)


async def test_a_tick_that_reads_keeps_no_table(db: Db, looks: Looks) -> None:
    await read_snapshot(db, Observation({}))
    check(looks)
