"""What `lablink serve` keeps up beside its two programs on a machine of its own: PostgreSQL, RDS's password, the Lambda's token.

Each is asked for by a variable that `deploy/host/lablink-host` or the admin sets; without them nothing here runs.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import psycopg
import structlog
from anyio import to_thread
from botocore.exceptions import BotoCoreError, ClientError

from lablink.errors import Failed
from lablink.keys import make_client, tell_lambda, write_password_file
from sandbox import postgres
from sandbox.postgres_binaries import PostgresError

log = structlog.get_logger()

AGAIN_S = 60.0
PASSWORD_S = 300.0  # AWS turns the password of RDS every seven days


@asynccontextmanager
async def hold_postgres(folder: str | None) -> AsyncIterator[None]:
    """The embedded server on its data folder until the block ends; nothing without one. Raises `Failed`."""
    if not folder:
        yield
        return
    try:
        running = await to_thread.run_sync(postgres.start, Path(folder))
    except (PostgresError, OSError) as error:
        raise Failed(f"PostgreSQL does not start: {error}") from None
    os.environ["LABLINK_DATABASE_DSN"] = running.dsn
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(running.stop)


@contextmanager
def reach_postgres() -> Iterator[None]:
    """For a command while `lablink serve` is stopped: starts the embedded server, where there is one, until the block ends."""
    folder, dsn = os.environ.get("LABLINK_POSTGRES_DIR"), os.environ.get("LABLINK_DATABASE_DSN", "")
    if not folder or _answers(dsn):
        yield
        return
    try:
        running = postgres.start(Path(folder))
    except (PostgresError, OSError) as error:
        raise Failed(f"PostgreSQL does not start: {error}") from None
    with running:
        os.environ["LABLINK_DATABASE_DSN"] = running.dsn
        yield


def advise(refusal: str) -> str:
    """What to do where libpq does not believe the server, after a colon; else nothing."""
    if "certificate" not in refusal:
        return ""
    return ": sslrootcert has to name the CA that signed the server's certificate, and host a name that the certificate is for"


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, dbname="postgres", connect_timeout=5).close()
    except psycopg.Error:
        return False
    return True


async def fetch_password(secret: str | None, folder: Path) -> Callable[[], None] | None:
    """The first fetch, before anything connects; what repeats it, or None without a secret."""
    if not secret:
        return None
    file = folder / "pgpass"
    fetch = partial(write_password_file, make_client("secretsmanager"), secret, file)
    try:
        await to_thread.run_sync(fetch)
    except (ClientError, BotoCoreError, OSError, ValueError, KeyError) as error:
        raise Failed(f"The database's password cannot be read from {secret}: {error}") from None
    os.environ["PGPASSFILE"] = str(file)
    return fetch


async def keep_password(fetch: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(PASSWORD_S)
        try:
            await to_thread.run_sync(fetch)
        except (ClientError, BotoCoreError, OSError, ValueError, KeyError) as error:
            log.warning("the database's password could not be read again", error=str(error))


async def tell_token(function: str | None, token: str) -> None:
    """Until it has been told once."""
    while function and token:
        try:
            if await to_thread.run_sync(tell_lambda, make_client("lambda"), function, token):
                return
        except (ClientError, BotoCoreError) as error:
            log.warning("the log Lambda could not be given its token", error=str(error))
        await anyio.sleep(AGAIN_S)
