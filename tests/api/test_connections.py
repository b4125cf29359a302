"""Requests that do not come, come too slowly, or never end their head: the connection ends, and others notice nothing."""

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from api import connection
from tests.api.world import PATIENCE_S, World, eventually, serving

pytestmark = pytest.mark.anyio
HEAD = b"GET /api/health HTTP/1.1\r\nHost: x\r\n"


async def connect(world: World, sent: bytes, source: str = "127.0.0.1") -> SocketStream:
    url = httpx.URL(world.url)
    stream = await anyio.connect_tcp(url.host, url.port or 0, local_host=source)
    if sent:
        await stream.send(sent)
    return stream


async def read_to_end(stream: SocketStream) -> bytes:
    """All that comes until the server closes."""
    heard = b""
    with anyio.fail_after(PATIENCE_S):
        try:
            async for chunk in stream:
                heard += chunk
        except anyio.BrokenResourceError:
            pass
    await stream.aclose()
    return heard


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b"HTTP/1.1 408 "),
        (HEAD, b"HTTP/1.1 408 "),
        (HEAD + b"\r\n" + HEAD, b"HTTP/1.1 200 "),  # the second one on the same connection
        (b"POST /api/gpu_health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b""),
    ],
)
async def test_a_request_that_does_not_come_whole_ends_its_connection(
    dsn: str, monkeypatch: pytest.MonkeyPatch, sent: bytes, answer: bytes
) -> None:
    monkeypatch.setattr(connection, "ARRIVAL_S", 0.3)
    async with serving(dsn) as world:
        world.server.config.timeout_keep_alive = 1
        assert (await read_to_end(await connect(world, sent))).startswith(answer)
        assert (await world.http.get("/api/health")).status_code == 200


async def test_a_head_without_an_end_is_not_kept(dsn: str) -> None:
    async with serving(dsn) as world:
        stream = await connect(world, HEAD)
        with anyio.fail_after(PATIENCE_S), pytest.raises((anyio.BrokenResourceError, anyio.ClosedResourceError)):
            await send_for_ever(stream)
        await stream.aclose()


async def send_for_ever(stream: SocketStream) -> None:
    while True:
        await stream.send(b"X-More: " + b"x" * 16_000 + b"\r\n")


async def test_a_whole_request_may_be_held_for_as_long_as_it_takes(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ARRIVAL_S", 0.2)
    async with serving(dsn) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        told: list[httpx.Response] = []

        async def wait() -> None:
            told.append(await world.poll(name))

        tasks.start_soon(wait)
        await eventually(lambda: len(world.app.state.waiters) == 1)
        await read_to_end(await connect(world, HEAD))  # came later, and was given up
        await world.request("ann@example.org")
        await eventually(lambda: bool(told))
        assert told[0].json()["status"] == "success"


async def test_one_address_cannot_take_all_connections(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_ARRIVING", 5)
    monkeypatch.setattr(connection, "is_loopback", lambda address: address == "127.0.0.1")
    async with serving(dsn) as world:
        silent = [await connect(world, HEAD, "127.0.0.9") for _ in range(5)]
        refused = await read_to_end(await connect(world, b"", "127.0.0.9"))
        assert refused.startswith(b"HTTP/1.1 429 ")
        others = await connect(world, HEAD + b"Connection: close\r\n\r\n", "127.0.0.8")
        assert (await read_to_end(others)).startswith(b"HTTP/1.1 200 ")
        for stream in silent:
            await stream.send(b"Connection: close\r\n\r\n")
            assert (await read_to_end(stream)).startswith(b"HTTP/1.1 200 ")
        again = await connect(world, HEAD + b"Connection: close\r\n\r\n", "127.0.0.9")
        assert (await read_to_end(again)).startswith(b"HTTP/1.1 200 ")
