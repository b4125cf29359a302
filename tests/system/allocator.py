"""A small real HTTP server with the calls that client VMs make, for tests of the simulated VMs without a database."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn

Message = dict[str, Any]


class Aborted(Exception):
    """Ends a held call as the real server does: the connection breaks off."""


class Allocator:
    """`posts` keeps what VMs said; `versions` says whose command is how new; `holding` who waits in `/vm_startup`."""

    def __init__(self) -> None:
        self.url = ""
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.versions: dict[str, int] = {}
        self.holding: set[str] = set()
        self.holds: dict[str, int] = defaultdict(int)
        self.tokens: set[str] = set()
        self._abort: set[str] = set()

    def said(self, path: str, hostname: str) -> list[dict[str, Any]]:
        """The bodies that this VM posted to a path."""
        return [body for asked, body in self.posts if asked == path and body.get("hostname") == hostname]

    def abort(self, hostname: str) -> None:
        self._abort.add(hostname)

    async def __call__(self, scope: Message, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        self.tokens.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        body = await _read(receive)
        path = scope["path"]
        if path == "/vm_startup":
            await self._hold(body["hostname"], receive, send)
        elif scope["method"] == "GET":
            version = self.versions.get(path.rsplit("/", 1)[1], 0)
            await _answer(send, {"code_version": version, "assigned": version > 0})
        else:
            self.posts.append((path, body))
            await _answer(send, {"message": "heard"})

    async def _hold(self, hostname: str, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        self.holding.add(hostname)
        self.holds[hostname] += 1
        try:
            while hostname not in self.versions:
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                with anyio.move_on_after(0.05):
                    await receive()  # only a hang-up can come now
                    return
                if hostname in self._abort:
                    self._abort.remove(hostname)
                    raise Aborted
        finally:
            self.holding.discard(hostname)
        answer = {"status": "success", "command": f"version {self.versions[hostname]}", "pin": "123456"}
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _read(receive: Callable[..., Any]) -> dict[str, Any]:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            return dict(json.loads(content)) if content else {}


async def _answer(send: Callable[..., Any], body: dict[str, Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


@asynccontextmanager
async def serving() -> AsyncIterator[Allocator]:
    """An allocator on a free port of loopback."""
    allocator = Allocator()
    config = uvicorn.Config(allocator, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server.started:
            await anyio.sleep(0.01)
        allocator.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield allocator
        server.should_exit = True
        server.force_exit = True
