"""Hostile calls to every route there is: bodies that are no bodies, names that are no names, headers that claim what is not so."""

import socket
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import pytest

from tests.api.world import World, bearer, serving

pytestmark = pytest.mark.anyio

DEEP = b"[" * 200_000
BODIES: dict[str, tuple[str, bytes]] = {
    "no UTF-8": ("application/json", b'{"hostname": "\xff\xfe"}'),
    "deep": ("application/json", DEEP),
    "cut off": ("application/json", b'{"hostname": '),
    "a lone surrogate": ("application/json", b'{"hostname": "\\ud800", "email": "\\ud800@x.org"}'),
    "a NUL": ("application/json", b'{"hostname": "a\\u0000b", "pool": "\\u0000", "num_vms": 1}'),
    "a number": ("application/json", b"1e999"),
    "the same key twice": ("application/json", b'{"pool": "a", "pool": {"a": 1}, "num_vms": 1}'),
    "another type than it says": ("multipart/form-data; boundary=x", b'{"hostname": "a"}'),
    "an unknown type": ("image/png", b"\x89PNG"),
    "a charset that is none": ("application/json; charset=klingon", b"{}"),
    "a form of its own": ("application/x-www-form-urlencoded", b"pool=%ff%00&num_vms=%ff&email=%c3%28"),
    "ten megabytes": ("application/json", b"a" * 10_000_000),
}
NAMES = (
    "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a%00b", "%ff", "a%0d%0aX-Evil:%201", "'; DROP TABLE vm; --", "<script>", "a" * 4000,
    "lab-client-test-1%2f..", "{{7*7}}", "\u202egpj", "-rf", "client*",
)  # fmt: skip

FILTERS = ("pool", "status", "after", "subject", "hostname")


async def operations(world: World) -> list[tuple[str, str]]:
    """Method and path of everything in the document."""
    paths = (await world.http.get("/schema/openapi.json")).json()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


def fill(path: str, value: str) -> str:
    """The path with the value in the place of each parameter; numbers get one."""
    parts = path.split("/")
    return "/".join(value if part.startswith("{") else part for part in parts)


async def test_no_body_makes_a_route_fail(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # whoever asks AWS meets nobody
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for method, path in await operations(world):
            for kind, (content_type, body) in BODIES.items() if method != "GET" else ():
                http, login = (world.http, bearer(name)) if is_of_machines(path) else (world.admin, {})
                headers = {"Content-Type": content_type, "Accept": "application/json", **login}
                answer = await http.request(method, fill(path, name), content=body, headers=headers)
                check(answer, f"{method} {path} with {kind}")
                if kind == "ten megabytes" and answer.status_code != 404:  # an id that is none leads nowhere
                    assert answer.status_code == 413, f"{method} {path}: {answer.text}"


def is_of_machines(path: str) -> bool:
    return path.startswith(("/api/vm-", "/api/gpu", "/api/update", "/vm_startup", "/api/v1/client"))


async def test_no_name_in_a_path_makes_a_route_fail_or_comes_back_in_a_header(dsn: str) -> None:
    async with serving(dsn) as world:
        with_names = [(method, path) for method, path in await operations(world) if "{" in path]
        for name in NAMES:
            for method, path in with_names:
                answer = await world.admin.request(
                    method, fill(path, quote(name, safe="%")), headers={"Accept": "application/json"}
                )
                check(answer, f"{method} {path} with {name!r}")
                assert "x-evil" not in answer.headers
            for path in ("/api/v1/vms", "/api/v1/events", "/api/v1/runs", "/api/v1/capacity", "/api/scp-client"):
                query = "&".join(f"{field}={quote(name, safe='%')}" for field in FILTERS)
                check(await world.admin.get(f"{path}?{query}"), f"{path}?{query}")


def check(answer: Any, what: str) -> None:
    """A 503 is the contract's "not now"; whatever is refused says why, in JSON."""
    assert answer.status_code < 500 or answer.status_code == 503, f"{what}: {answer.text}"
    assert answer.status_code != 422, what
    if answer.status_code >= 400:
        assert answer.headers["content-type"].startswith("application/json"), f"{what}: {answer.headers}"
        assert answer.json()["error"], what


RAW = {
    "two lengths": b"POST /api/vm-status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "length and chunks": b"POST /api/vm-status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length below zero": b"POST /api/vm-status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a bare line feed in a header": b"GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nX-A: b\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a path that is a URL": b"GET http://evil.example/api/v1/vms HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "a path above the root": b"GET /static/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "the same, encoded": b"GET /static/%2e%2e/%2e%2e/api/app.py HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "another method in a header": b"GET /api/v1/vms/x/replace HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: POST\r\nConnection: close\r\n\r\n",
    "a claimed address": b"GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nConnection: close\r\n\r\n",
}


async def test_tricks_below_http_open_nothing_and_end_nobody(dsn: str) -> None:
    async with serving(dsn) as world:
        where = urlsplit(world.url)
        for kind, sent in RAW.items():
            status = await anyio.to_thread.run_sync(send_raw, (where.hostname, where.port), sent)
            assert status is None or 400 <= status < 500, f"{kind}: {status}"
        assert (await world.http.get("/api/health")).status_code == 200


def send_raw(address: tuple[Any, Any], sent: bytes) -> int | None:
    """The status of the answer; None when the connection was closed without one."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n" not in answer and (piece := connection.recv(4096)):
            answer += piece
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None
