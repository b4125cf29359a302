"""Tables in daily partitions (days are UTC's): makes the days that are needed and drops those that are past.

Called by `api` on a timer and where a row's day is missing. Making one blocks nobody; dropping one waits for readers at
most `PATIENCE_MS`, and is left to the next round otherwise.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import structlog
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier, Literal

from store.db import Connection, fetch

log = structlog.get_logger()

DAYS_AHEAD = 2
PATIENCE_MS = 500
ADVISORY_LOCK = 7_020

LOCK = "SELECT pg_advisory_xact_lock(%s)"
PARTITIONS = """
SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = %s::regclass ORDER BY 1
"""
# Attached afterwards: CREATE TABLE … PARTITION OF would lock out everybody who reads or writes the whole table.
CREATE = "CREATE TABLE {partition} (LIKE {table} INCLUDING ALL)"
ATTACH = "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({after})"
WAIT = "SELECT set_config('lock_timeout', %s, true)"
DROP = "DROP TABLE {partition}"


async def make_days(conn: Connection, table: str, days: Iterable[date]) -> list[date]:
    """Make the partitions of these days where they are missing; those made. Safe in several processes at once."""
    async with conn.transaction():
        await conn.execute(LOCK, (ADVISORY_LOCK,))
        there = await read_days(conn, table)
        missing = sorted(set(days) - there)
        for day in missing:
            names = {"table": Identifier(table), "partition": Identifier(_name(table, day))}
            await conn.execute(SQL(CREATE).format(**names))
            bounds = {"first": Literal(_midnight(day)), "after": Literal(_midnight(day + timedelta(days=1)))}
            await conn.execute(SQL(ATTACH).format(**names, **bounds))
    return missing


async def keep_days(conn: Connection, table: str, today: date, kept: int) -> list[date]:
    """Have today and the next days, and drop what is older than `kept` days; the days dropped."""
    await make_days(conn, table, (today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)))
    past = sorted(day for day in await read_days(conn, table) if day < today - timedelta(days=kept))
    return [day for day in past if await _drop_day(conn, table, day)]


async def read_days(conn: Connection, table: str) -> set[date]:
    """The days for which there is a partition."""
    names = [row["name"] for row in await fetch(conn, PARTITIONS, (table,))]
    return {datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() for name in names}


async def _drop_day(conn: Connection, table: str, day: date) -> bool:
    try:
        async with conn.transaction():
            await conn.execute(LOCK, (ADVISORY_LOCK,))
            if day in await read_days(conn, table):  # another process may have been quicker
                await conn.execute(WAIT, (f"{PATIENCE_MS}ms",))
                await conn.execute(SQL(DROP).format(partition=Identifier(_name(table, day))))
    except LockNotAvailable:
        log.info("an old day is still being read; it is dropped later", table=table, day=day.isoformat())
        return False
    return True


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _midnight(day: date) -> str:
    return f"{day.isoformat()} 00:00+00"
