"""PostgreSQL's part of a backup: a dump with the number of rows of each table at that very moment, and its way back.

Used by `lablink.backup`. Passwords go to pg_dump and pg_restore by their environment, never as arguments.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lablink.backup_file import CHUNK
from lablink.errors import Failed
from sandbox.postgres import create_database, drop_database
from sandbox.postgres_binaries import PostgresError, find_binaries
from store.sealed import count_sessions

VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "passfile": "PGPASSFILE",
}
TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1
"""
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"


def find_tool(name: str) -> str:
    """pg_dump or pg_restore: that of the embedded server, else the installed one."""
    try:
        beside = find_binaries(None)[0] / name
    except PostgresError:
        beside = Path(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if not found:
        raise Failed(f"{name} is not there: install PostgreSQL's client programs, of the server's version or newer.")
    return found


def render_variables(dsn: str) -> dict[str, str]:
    """libpq's environment for a DSN. The embedded server's programs come with a libpq without TLS: psycopg's, which has it, goes before."""
    given = {VARIABLES[name]: str(value) for name, value in conninfo_to_dict(dsn).items() if name in VARIABLES}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PGPASSFILE") if name in os.environ}
    better = {"LD_PRELOAD": str(library)} if (library := _find_libpq()) else {}
    return kept | {"LC_ALL": "C"} | better | given


def _find_libpq() -> Path | None:
    """None where psycopg uses the system's libpq, as installed client programs do, or the system knows no preloading."""
    package = find_spec("psycopg_binary")
    if package is None or package.origin is None or sys.platform != "linux":
        return None
    return next((Path(package.origin).parents[1] / "psycopg_binary.libs").glob("libpq-*.so*"), None)


@contextmanager
def open_dump(dsn: str) -> Iterator[tuple[dict[str, int], Iterator[bytes]]]:
    """Rows by table, and the dump in chunks; both of one snapshot, while everything goes on."""
    with psycopg.connect(dsn) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        (snapshot,) = conn.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        yield count_rows(conn), _dump(dsn, snapshot)


def count_rows(conn: "psycopg.Connection[tuple[object, ...]]") -> dict[str, int]:
    tables = [str(row[0]) for row in conn.execute(TABLES)]
    counts = {}
    for table in tables:
        row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))).fetchone()
        counts[table] = int(str(row[0])) if row else 0
    return counts


def _dump(dsn: str, snapshot: str) -> Iterator[bytes]:
    command = [find_tool("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
    with subprocess.Popen(
        command, env=render_variables(dsn), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while chunk := process.stdout.read(CHUNK):
            yield chunk
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise Failed(f"pg_dump did not succeed: {said}")


def load_dump(dsn: str, name: str, chunks: Iterable[bytes]) -> str:
    """A new database `name` on the server of `dsn`, filled from a dump; its DSN. It is dropped when that fails."""
    made = create_database(dsn, name, template="template0")
    try:
        _load(made, chunks)
    except BaseException:
        drop_database(dsn, name)
        raise
    return made


def _load(dsn: str, chunks: Iterable[bytes]) -> None:
    database = str(conninfo_to_dict(dsn)["dbname"])
    command = [find_tool("pg_restore"), "--no-owner", "--no-privileges", f"--dbname={database}"]
    with subprocess.Popen(
        command, env=render_variables(dsn), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass  # what it says below is the reason
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0 and not _is_harmless(said):
            raise Failed(f"pg_restore did not succeed: {said}")


def _is_harmless(said: str) -> bool:
    """From 17 on pg_restore sets a limit that older servers do not know; without it they do the same."""
    errors = [line for line in said.splitlines() if line.startswith("pg_restore: error:")]
    return bool(errors) and all('"transaction_timeout"' in line for line in errors)


def check_rows(dsn: str, expected: dict[str, int]) -> None:
    """Raises `Failed` unless every table has as many rows as when it was dumped."""
    with psycopg.connect(dsn) as conn:
        found = count_rows(conn)
    wrong = [
        f"{name}: {found.get(name)} instead of {rows}" for name, rows in expected.items() if found.get(name) != rows
    ]
    if wrong:
        raise Failed(f"The backup does not give back all that was in the database ({'; '.join(wrong)}).")


def put_in_place(dsn: str, restored: str, aside: str) -> bool:
    """The restored database under the name of the present one, which is kept as `aside`; whether there was one.

    Raises `Failed` while anybody is connected to the present one.
    """
    name = str(conninfo_to_dict(dsn)["dbname"])
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as conn:
        there = conn.execute(EXISTS, (name,)).fetchone() is not None
    if there:
        with psycopg.connect(dsn) as conn:
            others = count_sessions(conn)
        if others:
            raise Failed(
                f"The database {name} is in use by {others} sessions: stop LabLink first (`systemctl stop lablink`)."
            )
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as conn:
        if there:
            conn.execute(rename.format(sql.Identifier(name), sql.Identifier(aside)))
        conn.execute(rename.format(sql.Identifier(restored), sql.Identifier(name)))
    return there


def of_database(dsn: str, name: str) -> str:
    return make_conninfo(dsn, dbname=name)
