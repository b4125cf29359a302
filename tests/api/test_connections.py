"""Requests that do not come, come too slowly, or never end their head, and connections without end: others notice nothing."""

import base64
import json

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from api import connection
from tests.api.world import ADMIN, PATIENCE_S, World, bearer, eventually, serving

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


async def keep(world: World, source: str, sent: bytes = HEAD + b"\r\n") -> SocketStream:
    """A connection that stays open after the head of an answer."""
    stream = await connect(world, sent, source)
    with anyio.fail_after(PATIENCE_S):
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
    return stream


def call(name: str, path: bytes = b"/vm_startup", **more: str) -> bytes:
    """As this VM."""
    body = json.dumps({"hostname": name, **more}).encode()
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % path
    token = bearer(name)["Authorization"].encode()
    return head + b"Authorization: %b\r\nContent-Length: %d\r\n\r\n%b" % (token, len(body), body)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections of strangers an address, two of each VM or login; 127.0.0.1 alone is this machine."""
    monkeypatch.setattr(connection, "MOST_STRANGE", 2)
    monkeypatch.setattr(connection, "MOST_KNOWN", 2)
    monkeypatch.setattr(connection, "is_loopback", lambda address: address == "127.0.0.1")


async def is_full(world: World, source: str) -> bool:
    heard = await read_to_end(await connect(world, HEAD + b"Connection: close\r\n\r\n", source))
    assert heard.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 429 "))
    return heard.endswith(b"close some, or try again in a minute.\n")


@pytest.mark.usefixtures("few")
async def test_connections_that_stay_open_are_limited_by_address(dsn: str) -> None:
    async with serving(dsn) as world:
        first, second = await keep(world, "127.0.0.9"), await keep(world, "127.0.0.9")
        assert await is_full(world, "127.0.0.9")
        assert not await is_full(world, "127.0.0.8")
        await first.send(HEAD + b"\r\n")  # who is there stays
        assert (await first.receive()).startswith(b"HTTP/1.1 200 ")
        await first.aclose()
        await eventually(lambda: room(world, "127.0.0.9"))
        await second.aclose()


async def room(world: World, source: str) -> bool:
    return not await is_full(world, source)


@pytest.mark.usefixtures("few")
async def test_a_fleet_behind_one_address_holds_its_calls_and_leaves_room(dsn: str) -> None:
    async with serving(dsn) as world:
        names = await world.add_vms(4)
        held = [await keep(world, "127.0.0.9", call(name)) for name in names]
        assert len(world.app.state.waiters) == 4
        strangers = [await keep(world, "127.0.0.9") for _ in range(2)]
        assert await is_full(world, "127.0.0.9")
        assert (await world.request("ann@example.org")).status_code == 200
        await eventually(lambda: len(world.app.state.waiters) == 3)
        for stream in (*held, *strangers):
            await stream.aclose()


@pytest.mark.usefixtures("few")
async def test_what_a_vm_or_a_login_opens_beyond_its_share_counts_as_its_addresss(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        login = base64.b64encode(":".join(ADMIN).encode())
        asks = (
            call(name, b"/api/vm-status", status="running"),
            HEAD.replace(b"health", b"v1/status") + b"Authorization: Basic " + login + b"\r\n\r\n",
        )
        for source, ask in zip(("127.0.0.9", "127.0.0.8"), asks, strict=True):
            kept = [await keep(world, source, ask) for _ in range(4)]
            assert await is_full(world, source)
            for stream in kept:
                await stream.aclose()


@pytest.mark.usefixtures("few")
async def test_a_wrong_token_or_login_stays_a_stranger(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        wrong = (call(name).replace(b"Bearer ", b"Bearer x"), HEAD + b"Authorization: Basic eDp5\r\n\r\n")
        kept = [await connect(world, ask, "127.0.0.9") for ask in wrong]
        for stream in kept:
            assert await stream.receive()
        assert await is_full(world, "127.0.0.9")
        for stream in kept:
            await stream.aclose()


@pytest.mark.usefixtures("few")
async def test_a_trusted_proxy_may_have_any_number(dsn: str) -> None:
    async with serving(dsn, trusted_proxies=["127.0.0.9/32"]) as world:
        kept = [await keep(world, "127.0.0.9") for _ in range(6)]
        assert not await is_full(world, "127.0.0.9")
        for stream in kept:
            await stream.aclose()
