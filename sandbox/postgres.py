"""The embedded PostgreSQL: makes its data folder, starts it on a Unix socket only, stops it, and never leaves it behind.

Called by the sandbox, the container's entry and the tests; everything here is synchronous (use `anyio.to_thread`).
It touches the data folder, a socket folder under /tmp when the path is long, and, where root can only run PostgreSQL as
another user, a folder under /var/tmp. Errors are `PostgresError` with one sentence.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sandbox.postgres_binaries import PostgresError, find_binaries, read_major
from sandbox.postgres_identity import choose_identity, read_identity, render_guarded

DATABASE = "lablink"
USER = "lablink"
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_SOCKET_NAME = "/.s.PGSQL.5432"
_SOCKET_BYTES = 103  # sun_path without its end: 107 on Linux, 103 on macOS
_SHARED_FOLDER = "/var/tmp"  # noqa: S108 - mkdtemp makes a private folder in it, which outlives a reboot
_SHORT_FOLDER = "/tmp"  # noqa: S108 - likewise
_LOG_BYTES = 1_000_000
_START_S = 60.0
_LETTING_GO_S = 8.0  # what the server of a killed sandbox has to end in
_STOP_S = 30.0  # longer than the guard's own patience
_IN_USE = 'lock file "postmaster.pid" already exists'
_STILL_ENDING = "pre-existing shared memory block"


@dataclass(frozen=True)
class RunningPostgres:
    """A server that lives until `stop`, or until the process that started it is gone."""

    dsn: str  # libpq keywords for the database `lablink`
    pid: int  # of the postmaster
    folder: Path
    _guard: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Fast shutdown (open transactions roll back); killed when it takes too long. Idempotent."""
        if self._guard.poll() is None:
            self._guard.send_signal(signal.SIGTERM)
        try:
            self._guard.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def start(folder: Path) -> RunningPostgres:
    """Starts the server on `folder`, making the data first when there are none; returns when it takes connections.

    The state that a kill -9 or a power cut leaves (dead postmaster.pid, half-made data, stale socket) is survived.
    """
    folder = folder.absolute()
    binaries, major = find_binaries(read_major(folder))
    if read_major(folder) is None:
        _make_data(folder, binaries, major)
    folder = folder.resolve()
    identity = read_identity(folder, binaries)
    _check_unused(folder)
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return _launch(folder, binaries, identity, deadline)
        except _StillEndingError:
            # The last processes of a killed server let go of its shared memory within moments.
            if time.monotonic() > deadline:
                raise


class _StillEndingError(PostgresError):
    """A killed server's children still hold its shared memory."""


def create_database(dsn: str, name: str, template: str = "template1") -> str:
    """Creates a database and returns its DSN. Nobody may be connected to the template meanwhile (PostgreSQL's rule)."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    _execute(dsn, statement)
    return make_conninfo(dsn, dbname=name)


def drop_database(dsn: str, name: str) -> None:
    """Drops a database, ending the connections to it; nothing happens when it is not there."""
    _execute(dsn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(dsn: str, statement: sql.Composed) -> None:
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute(statement)


# ------------------------------------------------------------------------------------------------------------ data


def _make_data(folder: Path, binaries: Path, major: int) -> None:
    """`initdb` beside the final place, then a rename: a folder is either whole or not there."""
    if folder.is_symlink() and not folder.exists():
        raise PostgresError(f"{folder} leads to {folder.readlink()}, which is gone: remove the link to start afresh.")
    if folder.is_dir() and any(folder.iterdir()):
        raise PostgresError(f"{folder} holds files but no PostgreSQL data: empty it or name another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    identity = choose_identity(binaries)
    away = ":" in identity
    draft = Path(tempfile.mkdtemp(prefix="lablink-postgres-", dir=_SHARED_FOLDER if away else folder.parent))
    if away:
        os.chown(draft, *(int(part) for part in identity.split(":")))
    # Trust is sound: the socket lies in a folder of mode 0700, and there is no other way in.
    command: list[Path | str] = [binaries / "initdb", "-D", draft, "-U", USER, "-E", "UTF8", "-A", "trust"]
    command += _render_locale(major)
    done = subprocess.run(
        render_guarded(identity, command), env=_render_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise PostgresError(f"initdb could not make the data in {folder}: {done.stderr.strip() or done.stdout.strip()}")
    if away:
        if folder.is_dir():
            folder.rmdir()
        folder.symlink_to(draft)
    else:
        draft.rename(folder)


def _render_locale(major: int) -> list[str]:
    if major >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]


# ------------------------------------------------------------------------------------------------------- the server


def _launch(folder: Path, binaries: Path, identity: str, deadline: float) -> RunningPostgres:
    sockets = _choose_socket_folder(folder)
    dsn = make_conninfo("", host=str(sockets), port=5432, user=USER, dbname=DATABASE)
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command: list[Path | str] = [binaries / "postgres", "-D", folder, "-k", sockets, "-h", "", *settings]
    remove = None if sockets == folder else sockets
    with _open_log(folder) as log:
        begin = log.tell()
        # A session of its own: Ctrl-C in the terminal must reach the sandbox, which stops the database last.
        guard = subprocess.Popen(
            render_guarded(identity, command, signal.SIGINT, remove),
            env=_render_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(guard, dsn, folder, begin, deadline)
        _ensure_database(dsn)
        return RunningPostgres(dsn, _read_postmaster(folder) or guard.pid, folder, guard)
    except BaseException:
        guard.terminate()
        guard.wait(_STOP_S)
        raise


def _wait_until_ready(guard: subprocess.Popen[bytes], dsn: str, folder: Path, begin: int, deadline: float) -> None:
    while True:
        try:
            psycopg.connect(dsn, dbname="postgres", connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not get ready in {_START_S:.0f} s: {error}") from error
        try:
            guard.wait(0.03)
        except subprocess.TimeoutExpired:
            continue
        raise _explain_death(folder, begin)


def _explain_death(folder: Path, begin: int) -> PostgresError:
    with _log_path(folder).open("rb") as log:
        log.seek(begin)
        lines = log.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL" in line or "rror:" in line] or lines[-1:]
    reason = fatal[-1] if fatal else "it left no word"
    if _IN_USE in reason:
        return PostgresError(f"The data folder {folder} is in use by another running PostgreSQL: stop that one first.")
    if _STILL_ENDING in reason:
        return _StillEndingError(f"Processes of a killed PostgreSQL still use {folder}: end them first.")
    return PostgresError(f"PostgreSQL did not start on {folder} (log: {_log_path(folder)}): {reason}")


def _ensure_database(dsn: str) -> None:
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
    if known is None:
        create_database(dsn, DATABASE)


def _check_unused(folder: Path) -> None:
    """Refuses a folder with a live postmaster; forgets a pid that now belongs to something else (after a reboot).

    A pid that is dead is left to PostgreSQL, which then also looks for leftover processes by their shared memory.
    """
    pid = _read_postmaster(folder)
    if pid is None or not Path("/proc/self").exists():
        return
    try:
        home = Path(f"/proc/{pid}/cwd").resolve(strict=True)  # a postmaster works in its data folder
    except OSError:
        return
    if home == folder:
        if _wait_for_end(pid):
            return
        raise PostgresError(f"The data folder {folder} is in use by a running PostgreSQL (pid {pid}): stop it first.")
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _wait_for_end(pid: int) -> bool:
    """Whether a postmaster ends within moments, as it does when its sandbox has just been killed."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([ended], [], [], _LETTING_GO_S)[0])
    finally:
        os.close(ended)


def _read_postmaster(folder: Path) -> int | None:
    try:
        return int((folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _choose_socket_folder(folder: Path) -> Path:
    """The data folder itself (private, and the DSN stays the same) unless its path is too long for a socket."""
    if len(os.fsencode(folder)) + len(_SOCKET_NAME) <= _SOCKET_BYTES and "," not in str(folder):
        return folder
    short = Path(tempfile.mkdtemp(prefix="lablink-", dir=_SHORT_FOLDER))
    owner = folder.stat()
    os.chown(short, owner.st_uid, owner.st_gid)
    return short


def _log_path(folder: Path) -> Path:
    return folder / "server.log"


def _open_log(folder: Path) -> IO[bytes]:
    path = _log_path(folder)
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    log.seek(0, os.SEEK_END)
    return log


def _render_environment() -> dict[str, str]:
    """None of the caller's PG* variables may lead the server elsewhere; English messages are what is looked for."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
