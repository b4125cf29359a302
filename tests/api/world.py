"""A real API over real HTTP for tests: uvicorn on a free port in the test's own loop, with VMs put into the database by hand."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import bcrypt
import httpx
from litestar import Litestar
from psycopg.types.json import Jsonb

from api.__main__ import bind
from api.app import create_app
from api.server import Server
from schemas.document import parse_lab
from schemas.settings import Settings
from schemas.spec import VmSpec
from schemas.token import vm_token
from store.db import Db, open_db, transaction
from store.desired import Change, append_version
from tests.controller_world import KEY

SECRET = "deployment-secret-of-the-tests"
LOG_TOKEN = "log-token-of-the-tests"
ADMIN = ("ada", "correct horse")
HASH = bcrypt.hashpw(ADMIN[1].encode(), bcrypt.gensalt(4)).decode()
YAML = f"""\
deployment: lab
environment: test
admin: {{user: {ADMIN[0]}, password_hash: "{HASH}"}}
pools:
  client:
    size: 2  # two seats
"""
COMMAND = 'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="4/{code}" --redirect-url="https://x" --name=$(hostname)'
PATIENCE_S = 30.0
TLS = httpx.create_ssl_context()  # nothing here speaks it, but making one takes every client tens of milliseconds


@dataclass
class World:
    """A running API. `http` has no login, `admin` has."""

    url: str
    app: Litestar
    server: Server
    db: Db
    http: httpx.AsyncClient
    admin: httpx.AsyncClient

    async def add_vms(self, count: int = 1, *, pool: str = "client", first: int = 1, phase: str = "live") -> list[str]:
        """Rows as the controller writes them, with closed seats."""
        names = [f"lab-{pool}-test-{n}" for n in range(first, first + count)]
        async with transaction(self.db) as conn:
            await add_vms(conn, names, pool, phase)
        return names

    async def request(self, email: str, code: str = "code", **more: Any) -> httpx.Response:
        """A program asks for a VM; each as from a browser of its own, without cookies."""
        body = {"email": email, "crd_command": COMMAND.format(code=code), **more}
        headers = {"Accept": "application/json"}
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, trust_env=False, verify=TLS) as http:
            return await http.post("/api/request_vm", json=body, headers=headers)

    async def poll(self, hostname: str, token: str | None = None) -> httpx.Response:
        """A held call to its end."""
        return await self.http.post(
            "/vm_startup", json={"hostname": hostname}, headers=bearer(hostname, token), timeout=None
        )

    async def sql(self, statement: str, *params: Any) -> list[dict[str, Any]]:
        async with self.db.connection() as conn:
            cursor = await conn.execute(statement, params)
            return await cursor.fetchall() if cursor.description else []


async def add_vms(conn: Any, names: list[str], pool: str, phase: str = "live") -> None:
    spec = VmSpec(
        ami="ami-0601752c11b394251",
        instance_type="g4dn.xlarge",
        region="us-west-2",
        volume_size=50,
        volume_type="gp3",
        image="image",
        gpu=True,
        generation=1,
    )
    await conn.execute("INSERT INTO pool (name) VALUES (%s) ON CONFLICT DO NOTHING", (pool,))
    await conn.execute(
        """INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, instance_id, launched_at)
           SELECT name, %s, 'us-west-2', 1, 1, 'v1:0', %s, %s, 'i-' || md5(name), now() FROM unnest(%s::text[]) AS name""",
        (pool, Jsonb(spec.model_dump(mode="json")), phase, names),
    )
    await conn.execute("INSERT INTO seat (hostname, pool) SELECT unnest(%s::text[]), %s", (names, pool))


def bearer(hostname: str, token: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token or vm_token(SECRET.encode(), hostname, 1)}"}


async def eventually(holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Waits for a condition (a function or coroutine function) to become true; its value."""
    with anyio.fail_after(patience_s):
        while True:
            found = holds()
            found = await found if hasattr(found, "__await__") else found
            if found:
                return found
            await anyio.sleep(0.02)


async def declare(db: Db, yaml: str = YAML) -> None:
    async with transaction(db) as conn:
        await append_version(conn, Change(yaml, parse_lab(yaml).lab, "test", "api"), None)


@asynccontextmanager
async def serving(dsn: str, *, yaml: str | None = YAML, **settings: Any) -> AsyncIterator[World]:
    """A whole API process's worth of parts; stopped as by SIGTERM at the end."""
    usual = {"database_dsn": dsn, "deployment_secret": SECRET, "encryption_key": KEY, "log_token": LOG_TOKEN}
    chosen = Settings(**{**usual, **settings})
    async with open_db(dsn, max_size=6) as db, running(chosen, db) as (url, app, server):
        if yaml:
            await declare(db, yaml)
        async with (
            httpx.AsyncClient(
                base_url=url, timeout=PATIENCE_S, trust_env=False, limits=httpx.Limits(max_connections=None)
            ) as http,
            httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False, auth=ADMIN) as admin,
        ):
            world = World(url, app, server, db, http, admin)
            if yaml:
                await eventually(lambda: _is_ready(world))
            yield world


async def _is_ready(world: World) -> bool:
    return (await world.http.get("/api/health")).status_code == 200


async def _serve(server: Server, listening: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # a failing test stops it as a passing one does
        await server.serve([listening])


@asynccontextmanager
async def running(settings: Settings, db: Db) -> AsyncIterator[tuple[str, Litestar, Server]]:
    listening: socket.socket = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    app = create_app(settings, db)
    server = Server(app, "127.0.0.1", port, settings.trusted_proxies)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, server, listening)
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{port}", app, server
        finally:
            server.should_exit = True
