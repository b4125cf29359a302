"""The Lambda's handler with events in CloudWatch's real shape, against our API and against servers that fail."""

import base64
import gzip
import json
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from lablink.lambda_package import write_package
from log_lambda import handler as log_lambda
from tests.api.world import LOG_TOKEN, serving
from tests.property.fuzzing import CORPUS, make_event

NAME = "lab-client-test-1"


def cloudwatch(messages: list[str], kind: str = "DATA_MESSAGE") -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    batch = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "lablink-cloud-init-test",
        "logStream": NAME,
        "subscriptionFilters": ["lablink"],
        "logEvents": [
            {"id": f"{3600000000 + n:056}", "timestamp": 1_700_000_000_000 + n, "message": message}
            for n, message in enumerate(messages)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()}}


class Context:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@contextmanager
def allocator(answers: list[int], headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these statuses in turn, the last one for ever; and the bodies that it got.

    Status 0 closes the connection without a word, 1 in the middle of an answer, 2 says nothing until the caller has gone.
    """
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            if status >= 200:
                self.answer(status)
            elif status == 1:
                self.wfile.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 900\r\n\r\nhalf")
            elif status == 2:
                self.rfile.read(1)

        def answer(self, status: int) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            bodies.append({})
            self.answer(200)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.anyio
async def test_lines_reach_our_api_once_and_in_order(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(dsn) as world:
        await world.add_vms()
        monkeypatch.setenv("ALLOCATOR_URL", world.url)
        monkeypatch.setenv("LOG_TOKEN", LOG_TOKEN)
        monkeypatch.setenv("NO_PROXY", "*")
        event = cloudwatch([f"line {n} ✓" for n in range(30)])
        for _ in range(2):  # AWS delivers at least once
            assert await anyio.to_thread.run_sync(log_lambda.handler, event, Context(30)) == {"lines": 30}
        logs = (await world.admin.get(f"/api/vm-logs/{NAME}")).json()["logs"]
        assert logs.splitlines() == [f"line {n} ✓" for n in range(30)]


def test_control_messages_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOCATOR_URL", "http://127.0.0.1:1")
    assert log_lambda.handler(cloudwatch(["CWL CONTROL MESSAGE: Checking health"], "CONTROL_MESSAGE")) == {"lines": 0}


@pytest.mark.parametrize("name", ["bomb", "cut", "no_base64", "no_data", "no_stream", "of_another_service"])
def test_an_event_that_is_none_is_logged_and_not_raised(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """AWS would call again with what is no better the next time."""
    event = make_event((CORPUS / "event" / name).read_bytes())
    assert log_lambda.handler(event, Context(30)) == {"lines": 0}
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("an event is left, none of its lines was delivered: ")
    assert ("more than 16777216 bytes" in record.getMessage()) is (name == "bomb")


def test_a_bomb_is_not_unpacked() -> None:
    """A gigabyte in a megabyte: no more is unpacked than is allowed."""
    packed = gzip.compress(bytes(log_lambda.MOST_UNPACKED)) * 64
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="bytes unpacked"):
            log_lambda.unpack(packed)
        assert tracemalloc.get_traced_memory()[1] < 4 * log_lambda.MOST_UNPACKED
    finally:
        tracemalloc.stop()


def test_answers_that_may_differ_later_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lambda, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("NO_PROXY", "*")
    with allocator([503, 500, 429, 200]) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        assert log_lambda.handler(cloudwatch(["a", "b"]), Context(30)) == {"lines": 2}
    assert len(bodies) == 4
    assert bodies[-1]["messages"] == ["a", "b"]
    assert bodies[-1]["log_stream"] == NAME
    assert [event["message"] for event in bodies[-1]["events"]] == ["a", "b"]


def test_server_that_breaks_off_or_is_silent_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lambda, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(log_lambda, "TIMEOUT_S", 0.3)
    monkeypatch.setenv("NO_PROXY", "*")
    with allocator([0, 1, 2, 200]) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        assert log_lambda.handler(cloudwatch(["a"]), Context(30)) == {"lines": 1}
    assert len(bodies) == 4


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_a_refusal_and_takes_the_token_nowhere(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("LOG_TOKEN", LOG_TOKEN)
    with allocator([200]) as (elsewhere, got), allocator([status], {"Location": elsewhere}) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        with pytest.raises(log_lambda.DeliveryError, match=str(status)):
            log_lambda.handler(cloudwatch(["a"]), Context(30))
    assert (len(bodies), got) == (1, [])


def test_refusal_that_will_not_change_raises_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with allocator([401]) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        with pytest.raises(log_lambda.DeliveryError, match="401"):
            log_lambda.handler(cloudwatch(["a"]), Context(30))
    assert len(bodies) == 1


@pytest.mark.parametrize("url", ["down", "busy"])
def test_raises_inside_its_time_so_that_aws_tries_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(log_lambda, "SPARE_S", 0.5)
    with allocator([503], {"Retry-After": "1"}) as (busy, _):
        monkeypatch.setenv("ALLOCATOR_URL", busy if url == "busy" else "http://127.0.0.1:1")
        with pytest.raises(log_lambda.DeliveryError, match="in time"):
            log_lambda.handler(cloudwatch(["a"]), Context(2))


def test_large_batches_are_split_below_the_limit_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    lines = [f"{n:04} " + "x" * 90_000 for n in range(60)]
    with allocator([200]) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        log_lambda.handler(cloudwatch(lines), Context(60))
    assert len(bodies) > 2
    assert all(len(json.dumps(body)) < 4 * 1024 * 1024 for body in bodies)
    assert [message for body in bodies for message in body["messages"]] == lines


def test_line_of_a_megabyte_is_cut_to_what_the_allocator_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with allocator([200]) as (url, bodies):
        monkeypatch.setenv("ALLOCATOR_URL", url)
        log_lambda.handler(cloudwatch(["before", "\U0001f40d" * 262_144, "after"]), Context(60))
    assert all(len(json.dumps(body)) < 4 * 1024 * 1024 for body in bodies)
    before, giant, after = [message for body in bodies for message in body["messages"]]
    assert (before, after) == ("before", "after")
    assert giant.endswith("more characters were left out]")


def test_package_is_the_same_bytes_each_time_and_holds_the_handler(tmp_path: Path) -> None:
    packages = [tmp_path / name for name in ("one.zip", "two.zip")]
    for package in packages:
        write_package(package)
    assert packages[0].read_bytes() == packages[1].read_bytes()
    with zipfile.ZipFile(packages[0]) as archive:
        assert archive.namelist() == ["handler.py"]
        assert archive.read("handler.py") == Path(log_lambda.__file__).read_bytes()
