"""A real API process over a PostgreSQL of its own, for measurements: `python -m api`, with a declared lab and VMs put in by hand."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from sandbox import postgres
from store.db import open_db, transaction
from store.migrate import migrate
from tests.api.world import ADMIN, HASH, LOG_TOKEN, SECRET, add_vms, bearer, declare

STARTS_S = 60.0


@dataclass(frozen=True)
class Allocator:
    """`names` are its VMs, `pid` is the API process."""

    dsn: str
    pid: int
    port: int
    names: list[str]

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()}

    @property
    def log_shipper(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {LOG_TOKEN}"}

    def vm(self, name: str) -> dict[str, str]:
        return bearer(name)


@contextmanager
def running_allocator(vms: int) -> Iterator[Allocator]:
    """Ready to answer; ended and removed with its database afterwards."""
    with TemporaryDirectory(prefix="lablink-bench-") as folder, postgres.start(Path(folder) / "pg") as server:
        names = anyio.run(_fill, server.dsn, vms)
        with running_api(server.dsn, names) as allocator:
            yield allocator


@contextmanager
def running_api(dsn: str, names: list[str], keys: Mapping[str, str] = {}) -> Iterator[Allocator]:
    """Over a database that is there, with the admin of the tests where its document names none, and the deployment's own `keys` if it has some."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "LABLINK_ADMIN_USER": ADMIN[0],
        "LABLINK_ADMIN_PASSWORD_HASH": HASH,
        "LABLINK_DATABASE_DSN": dsn,
        "LABLINK_DEPLOYMENT_SECRET": SECRET,
        "LABLINK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LABLINK_LOG_TOKEN": LOG_TOKEN,
        "LABLINK_PORT": str(port),
        **keys,
    }
    process = subprocess.Popen([sys.executable, "-m", "api"], env=environment)
    try:
        _wait(port)
        yield Allocator(dsn, process.pid, port, names)
    finally:
        process.terminate()
        process.wait()


async def _fill(dsn: str, vms: int) -> list[str]:
    await migrate(dsn)
    names = [f"lab-client-test-{n}" for n in range(1, vms + 1)]
    async with open_db(dsn) as db:
        await declare(db)
        async with transaction(db) as conn:
            await add_vms(conn, names, "client")
        async with db.connection() as conn:
            await conn.execute("VACUUM ANALYZE")
    return names


def _wait(port: int) -> None:
    until = time.monotonic() + STARTS_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health").close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
