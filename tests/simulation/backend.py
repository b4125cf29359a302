"""How the simulated Terraform reaches its state: the controller's real state server, called without a socket in between."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
from anyio.abc import TaskGroup

from controller.state_server import StateServer
from tests.simulation.stage import Killed, Process


class Unreachable(Exception):
    """Connection refused, reset, or no answer in time."""


@dataclass(frozen=True)
class Backend:
    """`server` lives in the controller's process: it is gone, or stands still, when that is."""

    server: StateServer
    process: Process
    group: TaskGroup
    environment: Mapping[str, str]
    lock_id: str

    @property
    def state_key(self) -> str:
        return urlsplit(self.environment["TF_HTTP_ADDRESS"]).path.strip("/")

    async def lock(self, operation: str) -> str | None:
        """None, or what the holder says of itself."""
        info = {"ID": self.lock_id, "Operation": operation, "Who": "simulated"}
        status, body = await self._call("LOCK", json.dumps(info).encode())
        return None if status == 200 else body.decode() or str(status)

    async def unlock(self) -> None:
        await self._call("UNLOCK", b"")

    async def read(self) -> bytes:
        status, body = await self._call("GET", b"")
        if status not in (200, 404):
            raise Unreachable(f"{status} {body.decode()}")
        return body if status == 200 else b""

    async def write(self, content: bytes) -> None:
        status, body = await self._call("POST", content, f"ID={quote(self.lock_id)}")
        if status != 200:
            raise Unreachable(f"{status} {body.decode()}")

    async def _call(self, method: str, body: bytes, query: str = "") -> tuple[int, bytes]:
        """What was sent is served although nobody waits for the answer any more, as with a real socket."""
        if self.process.dead:
            raise Unreachable("connection refused")
        answer: dict[str, Any] = {}
        done = anyio.Event()

        async def serve() -> None:
            try:
                await self.server(self._scope(method, query), receive, send)
            except Killed:
                pass
            finally:
                done.set()

        async def receive() -> dict[str, Any]:
            return {"body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answer.update(message)

        self.group.start_soon(serve)
        with anyio.move_on_after(30):
            await done.wait()
        if "body" not in answer:
            raise Unreachable("connection reset")
        return int(answer["status"]), bytes(answer["body"])

    def _scope(self, method: str, query: str) -> dict[str, Any]:
        user, password = self.environment["TF_HTTP_USERNAME"], self.environment["TF_HTTP_PASSWORD"]
        basic = b"Basic " + base64.b64encode(f"{user}:{password}".encode())
        headers = [(b"authorization", basic)]
        path = f"/{self.state_key}"
        return {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
