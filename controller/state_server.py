"""Terraform's `http` backend on loopback: states in the database, each read, locked and written by the run that it belongs to.

A small ASGI application inside the controller's process, used by nobody but the Terraforms that it started. Each run has its own
password; a request counts only while the run is open and the lease that it ran under is still in force, so a zombie gets 409.
https://developer.hashicorp.com/terraform/language/backend/http
"""

import base64
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import structlog
import uvicorn

from store.db import UNREACHABLE, Connection, Db, fetch_one, transaction
from store.lease import LeaseLost, hold_lease
from store.secret import Cipher
from store.tfstate import Held, lock_state, read_holder, read_state, unlock_state, write_state

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
MOST_BYTES = 64 << 20

log = structlog.get_logger()

RUN = "SELECT state_key, token FROM run WHERE id = %s AND ended_at IS NULL"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""


@dataclass(frozen=True)
class StateServer:
    """The backend and what a run needs to use it. `port` is bound before the first run starts."""

    db: Db
    cipher: Cipher
    port: int
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def grant(self, run_id: int, state_key: str, token: int) -> dict[str, str]:
        """The environment that lets one run reach one state, and nothing else."""
        url = f"http://127.0.0.1:{self.port}/{state_key}"
        return {
            "TF_HTTP_ADDRESS": url,
            "TF_HTTP_LOCK_ADDRESS": url,
            "TF_HTTP_UNLOCK_ADDRESS": url,
            "TF_HTTP_USERNAME": str(run_id),
            "TF_HTTP_PASSWORD": self._password(run_id, state_key, token),
            "TF_HTTP_RETRY_MAX": "2",
        }

    def _password(self, run_id: int, state_key: str, token: int) -> str:
        return hmac.new(self.key, f"{run_id}:{token}:{state_key}".encode(), hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, await _read_body(receive))
        except LeaseLost as error:
            answer = Answer(409, str(error).encode())
        except UNREACHABLE:
            answer = Answer(503, b"the database cannot be reached")
        except Exception:
            log.exception("the state backend failed", method=scope["method"], path=scope["path"])
            answer = Answer(500, b"the state backend failed; see the controller's log")
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, body: bytes) -> Answer:
        state_key = unquote(scope["path"]).strip("/")
        user, _, password = _read_basic(scope).partition(":")
        if not user.isdecimal():
            return Answer(401)
        async with transaction(self.db) as conn:
            run = await fetch_one(conn, RUN, (int(user),))
            if run is None:
                return Answer(409, b"this run has ended; its writes are refused")
            expected = self._password(int(user), run["state_key"], run["token"])
            if run["state_key"] != state_key or not hmac.compare_digest(expected, password):
                return Answer(403)
            await hold_lease(conn, run["token"])
            return await self._serve(conn, scope, Held(state_key, int(user), _read_lock_id(scope)), body)

    async def _serve(self, conn: Connection, scope: Scope, held: Held, body: bytes) -> Answer:
        match scope["method"]:
            case "GET":
                content = await read_state(conn, self.cipher, held.state_key)
                return Answer(200, content) if content else Answer(404)
            case "POST":
                serial = int(json.loads(body)["serial"])
                written = await write_state(conn, self.cipher, held, serial, body)
                return Answer(200) if written else Answer(409, b"the lock of this state is not held by this run")
            case "LOCK":
                if await lock_state(conn, held.state_key, held.run_id, json.loads(body)):
                    return Answer(200)
                holder = await read_holder(conn, held.state_key)
                return Answer(423, json.dumps(dict(holder.info)).encode() if holder else b"{}")
            case "UNLOCK":
                return Answer(200 if await unlock_state(conn, held.state_key, held.run_id) else 409)
        return Answer(405)


def _read_basic(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == b"authorization" and value.startswith(b"Basic "):
            return base64.b64decode(value[6:]).decode(errors="replace")
    return ""


def _read_lock_id(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return parse_qs(query.decode()).get("ID", [""])[0]


async def _read_body(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise ValueError(f"a state of more than {MOST_BYTES} bytes")
    return bytes(body)


class _Server(uvicorn.Server):
    """Signals are the business of the program around it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_states(db: Db, cipher: Cipher) -> AsyncIterator[StateServer]:
    """Serve on a free port of 127.0.0.1 until the block ends. Keep it open until the last run has ended."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = StateServer(db, cipher, listener.getsockname()[1])
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
        server = _Server(config)
        async with anyio.create_task_group() as group:
            group.start_soon(_serve_shielded, server, listener)
            try:
                yield app
            finally:
                server.should_exit = True


async def _serve_shielded(server: uvicorn.Server, listener: socket.socket) -> None:
    """Not cancelled with its surroundings: a Terraform that is being ended still has its state to save."""
    with anyio.CancelScope(shield=True):
        await server.serve(sockets=[listener])
