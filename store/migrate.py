"""Brings a database to the newest schema: numbered files, forward only, each in one transaction, under an advisory lock.

Called by `lablink migrate` and before the programs start; safe to run from several processes at once.
"""

from importlib.resources import files

from psycopg import AsyncConnection

from store.db import Db, fetch, fetch_one

FOLDER = files("store") / "migrations"
ADVISORY_LOCK = 7_001
CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
)
LOCK = "SELECT pg_advisory_xact_lock(%s)"
APPLIED = "SELECT name FROM schema_migration"
RECORD = "INSERT INTO schema_migration (name) VALUES (%s)"
KNOWN = "SELECT to_regclass('schema_migration') AS name"


async def find_missing(db: Db) -> list[str]:
    """Names of files that are not applied. A controller does not begin then: the lease is guarded by what the schema says."""
    async with db.connection() as conn:
        known = await fetch_one(conn, KNOWN)
        done = await fetch(conn, APPLIED) if known and known["name"] else []
    return _list_unapplied({row["name"] for row in done})


def _list_unapplied(done: set[str]) -> list[str]:
    """The files that are left to apply, in their order."""
    return sorted(f.name for f in FOLDER.iterdir() if f.name.endswith(".sql") and f.name not in done)


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing; the names of the files applied. Repeating it is harmless."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as conn, conn.transaction():
        await conn.execute(LOCK, (ADVISORY_LOCK,))
        await conn.execute(CREATE_TABLE)
        done = {row[0] for row in await (await conn.execute(APPLIED)).fetchall()}
        todo = _list_unapplied(done)
        for name in todo:
            await conn.execute((FOLDER / name).read_bytes())
            await conn.execute(RECORD, (name,))
        return todo
