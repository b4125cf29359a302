"""Connections to PostgreSQL: one psycopg pool a process, opened by the wiring of each program and handed to whoever needs it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = AsyncConnection[DictRow]
T = TypeVar("T")
ANSWER_S = 60.0
"""How long a statement may take: far longer than any of ours does. Who asked for it has given up by then."""


class _Impatient(Connection):
    """It waits for nothing without an end: a box between that takes what is sent and passes nothing on is not seen by the system."""

    async def wait(self, gen: PQGen[T], *told: Any, **more: Any) -> T:
        """As psycopg's, whose every wait is this one. Raises OperationalError when no answer came in time; the connection is closed then."""
        try:
            with anyio.fail_after(ANSWER_S):
                return await super().wait(gen, *told, **more)
        except TimeoutError:
            raise OperationalError(f"the database has not answered within {ANSWER_S:.0f} s") from None


Db = AsyncConnectionPool[Connection]

UNREACHABLE = (OperationalError, PoolTimeout, IdleInTransactionSessionTimeout)
"""What psycopg raises while PostgreSQL is away, or was not asked in time; callers wait and try again, nothing is lost."""


NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,  # milliseconds
}


def find_the_dead_soon(dsn: str) -> str:
    """What the DSN leaves open, so that a peer that is gone without a word costs seconds. The system's own limits are hours."""
    return make_conninfo("", **{**NETWORK, **conninfo_to_dict(dsn)})


BELIEVED_S = 0.5
"""How long a connection that was found good is not asked again."""
CHECK_S = 2.0
"""How long a connection may take to say that it is good. When one does not, its neighbours will not either."""


@asynccontextmanager
async def open_db(dsn: str, *, max_size: int = 8) -> AsyncIterator[Db]:
    """A pool of at most `max_size` connections whose rows are dicts and which are checked before they are lent."""
    good_until: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def configure(conn: Connection) -> None:
        await _set_up(conn)
        good_until[conn] = time.monotonic() + BELIEVED_S

    async def check(conn: Connection) -> None:
        """A check costs as much as a small query: a connection that answered a moment ago is lent without one."""
        if good_until.get(conn, 0.0) >= time.monotonic():
            return
        try:
            with anyio.fail_after(CHECK_S):
                await AsyncConnectionPool.check_connection(conn)
        except TimeoutError:
            if conn in good_until:  # else its neighbours are new already
                good_until.clear()
                await pool.drain()
            raise OperationalError(f"a connection has not answered within {CHECK_S:.0f} s") from None
        good_until[conn] = time.monotonic() + BELIEVED_S

    pool: Db = AsyncConnectionPool(
        find_the_dead_soon(dsn),
        connection_class=_Impatient,
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=1,
        max_size=max_size,
        timeout=4,
        reconnect_timeout=5,  # then anew: psycopg doubles its pauses, and would notice late that PostgreSQL is back
        check=check,
        configure=configure,
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


SET_UP = "SET TIME ZONE 'UTC'; SET idle_in_transaction_session_timeout = '8s'; SET statement_timeout = '55s'"


async def _set_up(conn: Connection) -> None:
    """Instants come back in UTC, wherever the server is. Locks of a process that stands still, or whose host is gone, do not
    outlive its lease: PostgreSQL ends a transaction in which nothing has happened for that long, and a statement that we would
    leave to itself soon. Neither limit counts while it waits for the next statement of a pipeline, so nobody uses that mode."""
    with anyio.fail_after(CHECK_S):
        await conn.execute(SET_UP)


@asynccontextmanager
async def transaction(db: Db) -> AsyncIterator[Connection]:
    """A connection inside a transaction of its own, committed at the end, rolled back on an error."""
    async with db.connection() as conn, conn.transaction():
        yield conn


@asynccontextmanager
async def answering(db: Db, within_s: float, *, shield: bool = False) -> AsyncIterator[None]:
    """What is asked in the block is answered in time, or the connection is taken for dead without a word: OperationalError then,
    and the pool makes new ones. `shield`: from being cancelled by others, which would cost the connection, too."""
    try:
        with anyio.fail_after(within_s, shield=shield):
            yield
    except TimeoutError:
        await db.drain()
        raise OperationalError(f"the database has not answered within {within_s:.1f} s") from None


LAZILY = "SET LOCAL synchronous_commit = off"


@asynccontextmanager
async def lazy_transaction(db: Db) -> AsyncIterator[Connection]:
    """The same without waiting for the disk: for what may be lost when PostgreSQL crashes within the next moment."""
    async with transaction(db) as conn:
        await conn.execute(LAZILY)
        yield conn


NOTIFY = "SELECT pg_notify(%s, %s)"


async def notify(conn: Connection, channel: str, key: str = "") -> None:
    """Wake who listens on `channel` when this transaction commits. A key, never data: the reader reads the tables."""
    await conn.execute(NOTIFY, (channel, key))


async def fetch(conn: Connection, sql: str, params: Any = None) -> list[DictRow]:
    """All rows of one statement."""
    return await (await conn.execute(sql, params)).fetchall()


async def fetch_one(conn: Connection, sql: str, params: Any = None) -> DictRow | None:
    """The first row of one statement, or None."""
    return await (await conn.execute(sql, params)).fetchone()
