"""Runs the command line in this process, and a small real HTTP server that answers it what a test wants."""

import base64
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

from lablink.__main__ import main


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def run_cli(*arguments: str, stdin: str = "") -> Done:
    """What `lablink ARGUMENTS` prints and ends with, without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        patch.object(sys, "argv", ["lablink", *arguments]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Done(status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any  # text, or what becomes JSON


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@contextmanager
def answering(answers: dict[str, Answer], password: str = "secret-word") -> Iterator[list[Call]]:
    """A server that answers `METHOD /path` (the query is not looked at) and keeps the calls; LABLINK_… lead there."""
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            calls.append(Call(self.command, self.path, headers, self.rfile.read(length).decode()))
            answer = answers.get(f"{self.command} {self.path.split('?')[0]}", Answer(404, {"error": "no such path"}))
            login = base64.b64encode(f"admin:{password}".encode()).decode()
            if headers.get("authorization") != f"Basic {login}":
                answer = Answer(401, {"error": "log in"})
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    environment = {"LABLINK_URL": f"http://127.0.0.1:{server.server_port}", "LABLINK_PASSWORD": password}
    try:
        with patch.dict(os.environ, environment):
            yield calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
