"""A real PostgreSQL in virtual time: its clock is the simulation's, its answers come at once, and its connections fail by the seed.

`now()` and its kin are shadowed by functions of the schema `sim`, which comes first in the search path, also while migrating, so that
the defaults of columns and the triggers read the virtual clock, too. Transactions follow one another, each whole; who wants one waits
in a line, so that no lock of the database is ever waited for and the order is that of the seed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import anyio
import psycopg
from psycopg import AsyncConnection, AsyncTransaction, OperationalError, waiting
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from store.db import Db
from tests.simulation.stage import Process, Stage

EPOCH = datetime(2026, 10, 23, tzinfo=UTC)
SHADOWS = """
CREATE SCHEMA sim;
CREATE FUNCTION sim.now() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT current_setting('sim.now')::timestamptz $$;
CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT sim.now() $$;
CREATE FUNCTION sim.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT sim.now() $$;
CREATE FUNCTION sim.transaction_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT sim.now() $$;
"""
OPTIONS = "-c search_path=sim,public,pg_catalog -c sim.now=2026-10-23T00:00:00Z -c synchronous_commit=off"
STEP_S = 0.01  # of its clock, to be told seldom
TIMEOUT_S = 4.0  # of psycopg's pool, as `store.db.open_db` has it


def shadow_clock(dsn: str) -> str:
    """Before the first migration of a database; the DSN under which its clock is shadowed."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(SHADOWS)
    return shadowed(dsn)


def shadowed(dsn: str) -> str:
    return make_conninfo(dsn, options=OPTIONS)


class SimConnection(AsyncConnection[DictRow]):
    """Lent to one process at a time. Whatever goes to the server passes `wait`, and is answered before anything else happens."""

    base: "Database"
    user: Process
    term: int = 0
    shown_now: str = ""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if not hasattr(self, "base") or self.base.holder is self:
            return waiting.wait(gen, self.pgconn.socket, interval, timeout)
        await self._begin()
        try:
            return waiting.wait(gen, self.pgconn.socket, interval, timeout)
        finally:
            self._end()

    async def _begin(self) -> None:
        """Its turn comes, at an instant that the whole transaction has for now."""
        await self.base.enter(self)
        now = str(self.base.now())
        if now != self.shown_now:
            self.shown_now = now
            self.pgconn.exec_(f"SELECT set_config('sim.now', '{now}', false)".encode())

    def _end(self) -> None:
        """The turn is over, unless a statement has begun a transaction by itself."""
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            self.base.leave(self)

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        if self.base.holder is self:
            async with super().transaction(savepoint_name, force_rollback) as inner:
                yield inner
            return
        await self._begin()
        try:
            async with super().transaction(savepoint_name, force_rollback) as outer:
                yield outer
                await self.base.reach_commit(self, done=False)
        finally:
            self._end()
        self.base.listener.execute("SELECT 1")  # takes in what was notified of
        await self.base.reach_commit(self, done=True)


@dataclass
class Database:
    """The server as the processes of one world share it. Notifications are heard when their transaction has committed."""

    stage: Stage
    idle: list[SimConnection]
    listener: psycopg.Connection[Any]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: SimConnection | None = None

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=round((self.stage.at + self.stage.database_ahead_s) / STEP_S) * STEP_S)

    async def enter(self, conn: SimConnection) -> None:
        await conn.user.reach("a statement")
        if self.stage.happens("hang"):
            await anyio.sleep(self.stage.chance.uniform(5, 60))
            raise OperationalError("the connection was half-open")
        await anyio.sleep(self.stage.chance.uniform(0.001, 0.01))
        await self._turn.acquire()
        self.holder, conn.term = conn, self.stage.database_term
        try:
            conn.user.check()
            self._check_up()
        except BaseException:
            self.leave(conn)
            raise

    def leave(self, conn: SimConnection) -> None:
        if self.holder is conn:
            self.holder = None
            self._turn.release()

    def _check_up(self) -> None:
        if self.stage.at < self.stage.database_back_at:
            raise OperationalError("the database is failing over")

    async def reach_commit(self, conn: SimConnection, *, done: bool) -> None:
        """Before and after a commit: the process may die, or its connection, and then nobody knows whether it was done."""
        await conn.user.reach(f"{'after' if done else 'before'} a commit")
        if not done and conn.term != self.stage.database_term:
            raise OperationalError("the connection was lost: the database fails over")
        if self.stage.troubles.cut_commit and self.stage.happens("cut_commit"):
            raise OperationalError("the connection was lost at commit")

    @asynccontextmanager
    async def lend(self, user: Process) -> AsyncIterator[SimConnection]:
        user.check()
        if self.stage.at < self.stage.database_back_at:
            await anyio.sleep(min(TIMEOUT_S, self.stage.database_back_at - self.stage.at))
            if self.stage.at < self.stage.database_back_at:
                raise PoolTimeout("couldn't get a connection: the database is failing over")
        conn = self.idle.pop()
        conn.base, conn.user = self, user
        try:
            yield conn
        finally:
            if conn.pgconn.transaction_status != TransactionStatus.IDLE:
                conn.pgconn.exec_(b"ROLLBACK")
            self.leave(conn)
            self.idle.append(conn)


@dataclass(frozen=True)
class SimDb:
    """What a process has for psycopg's pool."""

    base: Database
    user: Process

    def connection(self) -> Any:
        return self.base.lend(self.user)

    async def drain(self) -> None:
        """A new connection is like an old one here."""

    def as_db(self) -> Db:
        return cast("Db", self)


CONNECTIONS = 16  # twice as many as were ever lent at once
CHANNELS = ("reconcile", "desired", "assignment", "notice", "credentials")


@contextmanager
def open_connections(dsn: str) -> Iterator[tuple[list[SimConnection], psycopg.Connection[Any]]]:
    """Made in real time, before the virtual one begins."""
    with psycopg.connect(dsn, autocommit=True) as listener:
        for channel in CHANNELS:
            listener.execute(cast("Any", f"LISTEN {channel}"))
        conns = anyio.run(_connect_all, dsn)
        try:
            yield conns, listener
        finally:
            for conn in conns:
                conn.pgconn.finish()


async def _connect_all(dsn: str) -> list[SimConnection]:
    conns = []
    for _ in range(CONNECTIONS):
        conn = await SimConnection.connect(dsn, autocommit=True, row_factory=dict_row)
        await conn.execute("SET TIME ZONE 'UTC'")
        conn.prepare_threshold = 1  # a life says the same few things a thousand times
        conns.append(conn)
    return conns
