"""A connection that has to say what it wants: uvicorn's own, with limits on how long and how large a request's arrival may be.

uvicorn waits for ever for a head that comes a byte at a time, and keeps all of it. What is held (calls of VMs, streams of pages) has
arrived whole and is under none of these limits; how many connections are open is limited for each address, and for each VM or login that
has shown itself on them.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.address import Network, household, is_loopback, is_trusted

ARRIVAL_S = 60.0
"""For a request's head and body together, and for the first byte of a new connection. 4 MiB come in time at 70 KB/s."""
LONGEST_HEAD = 65_536
MOST_ARRIVING = 200
"""Connections of one address whose request has not come whole; a proxy and this machine itself may have any number."""

MOST_STRANGE = 2_000
"""Open connections of one address on which nobody has shown who calls: 300 people's browsers with six each are fewer, at 20 KB each."""
MOST_KNOWN = 50
"""Of one VM, admin or API token, wherever they come from; what is more stays counted with its address."""

REFUSED = "HTTP/1.1 {} {}\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{}"
TOO_MANY = "There are too many connections from your address; close some, or try again in a minute.\n"
VOUCH = "lablink.vouch"


class Tally:
    """How many there are of something, by whose they are. What is nobody's (an empty name) is not counted."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counted.total()

    def begin(self, name: str, most: int) -> bool:
        """False, and not counted, where there are `most`."""
        if name and self._counted[name] >= most:
            return False
        self._counted[name] += bool(name)
        return True

    def end(self, name: str) -> None:
        self._counted[name] -= bool(name)
        if not self._counted[name]:
            del self._counted[name]


class Connection(HttpToolsProtocol):
    """The tallies, of requests on their way and of open connections, are shared by all connections of a server."""

    arrivals: Tally
    held: Tally
    proxies: Sequence[Network]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._late: asyncio.TimerHandle | None = None
        self._peer = ""  # what its requests are counted under
        self._owner = ""  # and itself: its address, until somebody shows who calls
        self._head: int | None = 0  # bytes of the head so far; None while a body comes or an answer goes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self._find_peer()
        if self.held.begin(self._peer, MOST_STRANGE):
            self._owner = self._peer
            self._expect()
        else:
            self._refuse(429, "Too Many Requests", TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        self.held.end(self._owner)
        self._owner = ""
        super().connection_lost(exc)

    def vouch(self, name: str) -> None:
        """A request has shown that `name` calls: the connection counts as theirs, no longer as their address's."""
        if self._owner and self._owner == self._peer and self.held.begin(name, MOST_KNOWN):
            self.held.end(self._peer)
            self._owner = name

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._owner:
            self.scope["extensions"] = {VOUCH: {"by": self.vouch}}

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
        if self.arrivals.begin(self._peer, MOST_ARRIVING):
            self._late = self.loop.call_later(ARRIVAL_S, self._refuse, 408, "Request Timeout")
        else:
            self._refuse(429, "Too Many Requests", TOO_MANY)

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self.arrivals.end(self._peer)

    def _find_peer(self) -> str:
        """Empty for this machine itself and for proxies: all of theirs would be one address's."""
        peer = self.client[0] if self.client else ""
        return "" if is_loopback(peer) or is_trusted(peer, self.proxies) else household(peer)

    def _refuse(self, status: int, words: str, more: str = "") -> None:
        """Say so, unless an answer is on its way already, and close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(REFUSED.format(status, words, len(more), more).encode())
        self.transport.close()


def make_connection(proxies: Sequence[Network]) -> type[Connection]:
    """The class of one server's connections."""
    return type("ServerConnection", (Connection,), {"arrivals": Tally(), "held": Tally(), "proxies": proxies})


def vouch(scope: Mapping[str, Any], name: str) -> None:
    """Tell the connection of a call who has shown that they call."""
    if extension := (scope.get("extensions") or {}).get(VOUCH):
        extension["by"](name)
