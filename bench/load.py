"""Many HTTP calls at once over bare sockets: a client that takes as little of the machine as it can, since server and database share it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

AnyHeaders = Mapping[str, str]


@dataclass
class Outcome:
    """`seconds` from the first call to the end of the last; `first_byte_s` and `took_s` of each call in the order of their ends."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    first_byte_s: list[float] = field(default_factory=list)
    last_body: bytes = b""


def render_call(method: str, path: str, headers: AnyHeaders, body: object = None) -> bytes:
    """The bytes of one call; a body is sent as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Content-Type: application/json", f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


async def send_all(port: int, calls: Sequence[bytes], in_flight: int) -> Outcome:
    """Send all of them over `in_flight` connections, each with its next call once the answer to the last is there."""
    outcome, waiting = Outcome(), iter(calls)
    connections = [await asyncio.open_connection("127.0.0.1", port, limit=2**24) for _ in range(in_flight)]
    begun = time.perf_counter()
    await asyncio.gather(*(_work(reader, writer, waiting, outcome) for reader, writer in connections))
    outcome.seconds = time.perf_counter() - begun
    for _, writer in connections:
        writer.close()
    return outcome


async def _work(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: Iterator[bytes], outcome: Outcome
) -> None:
    for call in calls:
        begun = time.perf_counter()
        writer.write(call)
        head = await reader.readuntil(b"\r\n\r\n")
        outcome.first_byte_s.append(time.perf_counter() - begun)
        outcome.last_body = await _read_body(reader, head.lower())
        outcome.took_s.append(time.perf_counter() - begun)
        outcome.statuses[int(head.split(b" ", 2)[1])] += 1


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
