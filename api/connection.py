"""A connection that has to say what it wants: uvicorn's own, with limits on how long and how large a request's arrival may be.

uvicorn waits for ever for a head that comes a byte at a time, and keeps all of it. What is held (calls of VMs, streams of pages) has
arrived whole and is under none of these limits.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.address import Network, household, is_loopback, is_trusted

ARRIVAL_S = 60.0
"""For a request's head and body together, and for the first byte of a new connection. 4 MiB come in time at 70 KB/s."""
LONGEST_HEAD = 65_536
MOST_ARRIVING = 200
"""Connections of one address whose request has not come whole; a proxy and this machine itself may have any number."""

REFUSED = "HTTP/1.1 {} {}\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Arrivals:
    """How many requests are on their way, by address."""

    def __init__(self, proxies: Sequence[Network]) -> None:
        self._proxies = proxies
        self._counted: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counted.total()

    def name(self, peer: str) -> str:
        """What a peer's requests are counted under; empty: they are not counted."""
        return "" if is_loopback(peer) or is_trusted(peer, self._proxies) else household(peer)

    def begin(self, name: str) -> bool:
        """False, and not counted, where there are too many."""
        if name and self._counted[name] >= MOST_ARRIVING:
            return False
        self._counted[name] += bool(name)
        return True

    def end(self, name: str) -> None:
        self._counted[name] -= bool(name)
        if not self._counted[name]:
            del self._counted[name]


class Connection(HttpToolsProtocol):
    """`arrivals` is shared by all connections of a server."""

    arrivals: Arrivals

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._late: asyncio.TimerHandle | None = None
        self._peer = ""
        self._head: int | None = 0  # bytes of the head so far; None while a body comes or an answer goes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.arrivals.name(self.client[0] if self.client else "")
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            if self._late is None:
                self._expect()
            self._head += len(data)
            if self._head > LONGEST_HEAD + len(data):
                self._refuse(431, "Request Header Fields Too Large")
        if not self.transport.is_closing():
            super().data_received(data)

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        self._arrived()
        super().on_message_complete()

    def _expect(self) -> None:
        if self.arrivals.begin(self._peer):
            self._late = self.loop.call_later(ARRIVAL_S, self._refuse, 408, "Request Timeout")
        else:
            self._refuse(429, "Too Many Requests")

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self.arrivals.end(self._peer)

    def _refuse(self, status: int, words: str) -> None:
        """Say so, unless an answer is on its way already, and close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(REFUSED.format(status, words).encode())
        self.transport.close()


def make_connection(proxies: Sequence[Network]) -> type[Connection]:
    """The class of one server's connections."""
    return type("ServerConnection", (Connection,), {"arrivals": Arrivals(proxies)})
