"""Receivers of notifications on loopback: an HTTP server that keeps what it gets, and a mail server that speaks SMTP."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
from anyio.abc import SocketAttribute, SocketStream


@dataclass
class Inbox:
    """What came, and the status that is answered; `location` goes with it where it is set."""

    url: str = ""
    status: int = 200
    location: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def http_receiver() -> Iterator[Inbox]:
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.headers.append(dict(self.headers.items()))
            self.send_response(inbox.status)
            if inbox.location:
                self.send_header("Location", inbox.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    inbox.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    port: int = 0
    mails: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """As much of RFC 5321 as a client that says EHLO, MAIL, RCPT, DATA and QUIT needs."""
    box = Mailbox()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await _converse(stream, box)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        box.port = listener.extra(SocketAttribute.local_port)
        group.start_soon(listener.serve, serve)
        yield box
        group.cancel_scope.cancel()


async def _converse(stream: SocketStream, box: Mailbox) -> None:
    received, in_data = b"", False
    await stream.send(b"220 sink\r\n")
    while True:
        try:
            received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return
        end = b"\r\n.\r\n" if in_data else b"\r\n"
        while end in received:
            line, _, received = received.partition(end)
            if in_data:
                box.mails.append(line.decode())
                in_data, end = False, b"\r\n"
                await stream.send(b"250 taken\r\n")
                continue
            verb = line.upper()
            if verb.startswith(b"RCPT TO:"):
                box.recipients.append(line[8:].decode().strip("<>"))
            if verb.startswith(b"DATA"):
                in_data, end = True, b"\r\n.\r\n"
                await stream.send(b"354 go on\r\n")
            else:
                await stream.send(b"221 bye\r\n" if verb.startswith(b"QUIT") else b"250 fine\r\n")
