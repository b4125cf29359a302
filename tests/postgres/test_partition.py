"""Daily partitions under a clock of the test's: made ahead, dropped when past, without hindering who reads or writes."""

from datetime import UTC, date, datetime, timedelta

import anyio
import pytest

from api.retention import tidy
from store.db import Db, fetch, open_db, transaction
from store.partition import keep_days, make_days, read_days
from store.vmlog import Line, append_lines, lock_heads

pytestmark = pytest.mark.anyio

TODAY = date(2031, 12, 30)
VM = """
INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase)
VALUES ('lab-client-test-1', 'client', 'us-west-2', 1, 1, 'v1:0', '{}', 'live')
"""
NAME = "lab-client-test-1"


async def write_line(db: Db, at: datetime, event_id: str) -> None:
    async with transaction(db) as conn:
        heads = await lock_heads(conn, [NAME])
        await append_lines(conn, heads, {NAME: [Line(event_id, int(at.timestamp() * 1000), event_id)]})


async def read_kept(db: Db) -> list[str]:
    async with db.connection() as conn:
        return [row["line"] for row in await fetch(conn, "SELECT line FROM vm_log ORDER BY at")]


async def test_each_midnight_finds_its_day_and_old_lines_go_with_theirs(dsn: str) -> None:
    async with open_db(dsn) as db:
        async with db.connection() as conn:
            await conn.execute(VM)
        for n in range(6):
            today = TODAY + timedelta(days=n)
            await tidy(db, today, 3)
            midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
            await write_line(db, midnight, f"first of {n}")
            await write_line(db, midnight + timedelta(days=1, milliseconds=-1), f"last of {n}")
        await write_line(db, midnight + timedelta(days=1), "ahead")
        assert await read_kept(db) == [f"{word} of {n}" for n in (2, 3, 4, 5) for word in ("first", "last")] + ["ahead"]
        async with db.connection() as conn:
            assert min(await read_days(conn, "vm_log")) == TODAY + timedelta(days=2)


async def test_days_are_made_once_however_many_make_them(dsn: str) -> None:
    async with open_db(dsn) as db:

        async def make() -> None:
            async with db.connection() as conn:
                await make_days(conn, "vm_log", [TODAY, TODAY + timedelta(days=1)])

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(make)
        async with db.connection() as conn:
            assert {TODAY, TODAY + timedelta(days=1)} <= await read_days(conn, "vm_log")


async def test_a_day_that_is_being_read_is_dropped_later(dsn: str) -> None:
    async with open_db(dsn) as db, db.connection() as reader, db.connection() as conn:
        await make_days(conn, "vm_log", [TODAY])
        later = TODAY + timedelta(days=40)
        async with reader.transaction():
            await reader.execute("SELECT count(*) FROM vm_log")
            assert TODAY not in await keep_days(conn, "vm_log", later, 30)
        assert TODAY in await keep_days(conn, "vm_log", later, 30)


async def test_making_a_day_waits_for_no_writer_and_no_reader(dsn: str) -> None:
    async with open_db(dsn) as db, db.connection() as writer, db.connection() as conn:
        await make_days(conn, "vm_log", [TODAY])
        async with writer.transaction():
            await writer.execute(
                "INSERT INTO vm_log VALUES (1, %s, 'h', 'e', 'l')", (datetime(2031, 12, 30, tzinfo=UTC),)
            )
            with anyio.fail_after(20):
                assert await make_days(conn, "vm_log", [TODAY + timedelta(days=1)]) == [TODAY + timedelta(days=1)]
