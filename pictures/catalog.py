"""The tables of a real database, as PostgreSQL's own catalog has them; and an empty one with the newest schema, to read them from."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg

from pictures.errors import Missing, NotDrawn
from sandbox import postgres
from sandbox.postgres_binaries import PostgresError
from store.migrate import migrate


@dataclass(frozen=True, slots=True)
class Column:
    table: str
    name: str
    type: str
    needed: bool
    key: bool  # part of the primary key
    refers: str  # the table that a foreign key of this column leads to; "" for none


COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)),
           coalesce((SELECT k.confrelid::regclass::text FROM pg_constraint k
                     WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey) LIMIT 1), '')
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname, a.attnum"""


def read_tables(dsn: str) -> dict[str, list[Column]]:
    """Tables by name, without the partitions of one; raises `NotDrawn`."""
    try:
        with psycopg.connect(dsn, connect_timeout=10) as conn:
            rows = conn.execute(COLUMNS).fetchall()
    except psycopg.Error as error:
        raise NotDrawn(f"The database's tables could not be read: {error}") from None
    tables: dict[str, list[Column]] = defaultdict(list)
    for row in rows:
        tables[row[0]].append(Column(*row))
    return dict(tables)


@contextmanager
def newest_schema() -> Iterator[str]:
    """The DSN of an empty database with all migrations, on a server of its own that ends with the block."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lablink-diagram-") as folder,
            postgres.start(Path(folder) / "data") as server,
        ):
            anyio.run(migrate, server.dsn)
            yield server.dsn
    except PostgresError as error:
        raise Missing(
            f"{error} Without it, name a database that `lablink migrate` has seen, in LABLINK_DATABASE_DSN."
        ) from None
