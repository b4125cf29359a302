"""The short way of VMs' calls and the long way through Litestar give the same answers and leave the same rows."""

import json
from typing import Any

import httpx
import pytest

from api.shortcut import Shortcut, find_way
from tests.api.world import LOG_TOKEN, World, bearer, serving

pytestmark = pytest.mark.anyio

LONG_WAY = {"Sec-Fetch-Site": "none"}  # as from a browser's own address bar
NAME, OTHER = "lab-client-test-1", "lab-client-test-2"
SHIPPER = {"Authorization": f"Bearer {LOG_TOKEN}"}
LINES = {"log_stream": NAME, "messages": ["a"]}

CALLS: list[tuple[str, Any, dict[str, str], int]] = [
    ("/api/vm-status", {"hostname": NAME, "status": "running"}, bearer(NAME), 200),
    ("/api/update_inuse_status", {"hostname": NAME, "status": True}, bearer(NAME), 200),
    ("/api/gpu_health", {"hostname": NAME, "gpu_status": "Healthy"}, bearer(NAME), 200),
    (f"/api/vm-metrics/{NAME}", {"cloud_init_duration_seconds": 5}, bearer(NAME), 200),
    (f"/api/v1/client/{NAME}/heartbeat", {"in_use": True}, bearer(NAME), 200),
    ("/api/vm-logs", LINES, SHIPPER, 200),
    ("/api/vm-status", {"hostname": NAME, "status": "asleep"}, bearer(NAME), 400),
    ("/api/vm-status", {"hostname": NAME, "status": "running"}, bearer(NAME, "guess"), 401),
    ("/api/vm-status", {"hostname": NAME, "status": "running"}, bearer(OTHER), 403),
    ("/api/vm-status", {"hostname": "nobody", "status": "running"}, bearer("nobody"), 404),
    ("/api/vm-metrics/a%2Fb", {}, bearer(NAME), 404),
    ("/api/vm-metrics/a%00b", {}, bearer(NAME), 404),
    ("/api/vm-logs", {"log_stream": NAME}, SHIPPER, 400),
    ("/api/vm-logs", {**LINES, "log_stream": "nobody"}, SHIPPER, 404),
    ("/api/vm-logs", LINES, bearer(NAME), 401),
    ("/api/vm-logs", {**LINES, "messages": ["x" * 5_000_000]}, SHIPPER, 413),
    ("/api/vm-status", b"{", bearer(NAME), 400),
    ("/api/vm-status", b"[" * 100_000, bearer(NAME), 400),
]


def told(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    return answer.status_code, answer.json(), headers


async def post(world: World, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await world.http.post(path, content=content, headers={"Content-Type": "application/json", **headers})


async def test_both_ways_answer_alike(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.add_vms(2)
        for path, body, login, status in CALLS:
            short = await post(world, path, body, login)
            long = await post(world, path, body, {**login, **LONG_WAY})
            assert short.status_code == status, (path, short.text)
            assert told(short) == told(long), path


async def test_pages_of_other_sites_do_not_get_past_the_guard(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.add_vms(2)
        path, body, login, _ = CALLS[0]
        for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
            assert (await post(world, path, body, {**login, **foreign})).status_code == 403


def find(scope: Any) -> Any:
    return find_way(scope)


def test_only_plain_posts_of_programs_take_the_short_way() -> None:
    headers = [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/api/vm-status", "headers": headers}
    assert find(scope)[0] is not None
    assert find({**scope, "path": f"/api/vm-metrics/{NAME}"})[1] == {"hostname": NAME}
    for change in (
        {"method": "GET"},
        {"path": "/api/vm-metrics/"},
        {"path": "/api/v1/client/a/b/heartbeat"},
        {"path": "/api/launch"},
        {"headers": headers[:1]},
        {"headers": [*headers, (b"cookie", b"a=b")]},
        {"headers": [headers[0], (b"content-type", b"text/plain")]},
    ):
        assert find({**scope, **change})[0] is None, change


async def test_the_server_takes_it(dsn: str) -> None:
    async with serving(dsn) as world:
        assert isinstance(world.server.config.app, Shortcut)
