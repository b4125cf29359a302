"""Brings a database to the newest schema: numbered files, forward only, each in one transaction, under an advisory lock.

Called by `lablink migrate` and before the programs start; safe to run from several processes at once.
"""

from importlib.resources import files

from psycopg import AsyncConnection

ADVISORY_LOCK = 7_001
CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
)
LOCK = "SELECT pg_advisory_xact_lock(%s)"
APPLIED = "SELECT name FROM schema_migration"
RECORD = "INSERT INTO schema_migration (name) VALUES (%s)"


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing; the names of the files applied. Repeating it is harmless."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as conn, conn.transaction():
        await conn.execute(LOCK, (ADVISORY_LOCK,))
        await conn.execute(CREATE_TABLE)
        done = {row[0] for row in await (await conn.execute(APPLIED)).fetchall()}
        folder = files("store") / "migrations"
        todo = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql") and f.name not in done)
        for name in todo:
            await conn.execute((folder / name).read_bytes())
            await conn.execute(RECORD, (name,))
        return todo
