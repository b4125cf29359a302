"""Log lines: how fast they are taken beside COPY of the same lines into a table of the same shape, and how fast they are read."""

import asyncio
import time
from collections.abc import Iterator
from statistics import median

import psycopg
from psycopg import sql

from bench.allocator import Allocator, running_allocator
from bench.figure import Figure
from bench.load import Outcome, render_call, send_all

VMS, BATCHES, LINES = 20, 200, 50
IN_FLIGHT = 20
COPIERS = 8
RATIO_LIMIT = 1 / 0.35  # of the time a line takes
LARGE_LINES, LARGE_LINE = 100_000, 100
READS = 9
PAGE_LINES = 500
WHOLE_MS, FIRST_BYTE_MS, PAGE_MS = 120, 20, 10

WORDS = "[  12.345678] cloud-init[1234]: Get:{n} http://archive.ubuntu.com/ubuntu noble/main amd64 package-{n} amd64 1.2-{n}"
COLUMNS = "number, at, hostname, event_id, line"
SAME_SHAPE = """
CREATE TABLE bare (LIKE vm_log INCLUDING ALL) PARTITION BY RANGE (at);
CREATE TABLE bare_day PARTITION OF bare DEFAULT;
"""
LARGE = """
INSERT INTO vm_log (number, at, hostname, event_id, line)
SELECT 1000000 + n, now() - interval '10 minutes' + n * interval '1 millisecond', %(name)s, 'large' || n, rpad(n || ' ', %(line)s, 'some words ')
  FROM generate_series(1, %(lines)s) AS n
"""

Batch = list[tuple[str, int, str]]  # id, epoch ms, text


def build_batches(prefix: str, count: int, began_ms: int) -> list[Batch]:
    """Batches of lines in the words of cloud-init, with ids as long as CloudWatch's."""
    return [
        [(f"{prefix}{n:050}", began_ms + n, WORDS.format(n=n)) for n in range(b * LINES, (b + 1) * LINES)]
        for b in range(count)
    ]


def measure_logs() -> list[Figure]:
    with running_allocator(VMS) as allocator:
        return [*_measure_ingest(allocator), *_measure_reading(allocator)]


def _measure_ingest(allocator: Allocator) -> list[Figure]:
    now_ms = int(time.time() * 1000) - 3_600_000
    batches = build_batches("3812", BATCHES, now_ms)
    calls = [_render_post(allocator, name, batch) for batch in batches for name in allocator.names]
    asyncio.run(send_all(allocator.port, calls[: IN_FLIGHT * 10], IN_FLIGHT))  # warm, and the first of the doubles
    outcome = asyncio.run(send_all(allocator.port, calls[IN_FLIGHT * 10 :], IN_FLIGHT))
    taken = len(calls) - IN_FLIGHT * 10
    bare_s = asyncio.run(_copy(allocator, batches))
    again = asyncio.run(send_all(allocator.port, calls, IN_FLIGHT))
    total = VMS * BATCHES * LINES
    with psycopg.connect(allocator.dsn) as conn:
        stored = conn.execute("SELECT count(*), count(DISTINCT (hostname, event_id)) FROM vm_log").fetchone()
    assert stored == (total, total), stored
    ours, bare = outcome.seconds / (taken * LINES) * 1e6, bare_s / total * 1e6
    note = f"{1e6 / ours:,.0f} / {1e6 / bare:,.0f} lines/s; {stored[0]:,} stored, each once; {_refused(outcome, again)} refused"
    return [
        Figure(
            f"a log line in posts of {LINES}, {IN_FLIGHT} in flight, beside COPY", ours, RATIO_LIMIT, "µs", bare, note
        )
    ]


def _refused(*outcomes: Outcome) -> int:
    return sum(count for outcome in outcomes for status, count in outcome.statuses.items() if status != 200)


def _render_post(allocator: Allocator, name: str, batch: Batch) -> bytes:
    events = [{"id": event_id, "timestamp": at, "message": text} for event_id, at, text in batch]
    body = {"log_group": "g", "log_stream": name, "messages": [text for _, _, text in batch], "events": events}
    return render_call("POST", "/api/vm-logs", allocator.log_shipper, body)


async def _copy(allocator: Allocator, batches: list[Batch]) -> float:
    """The same lines in transactions of as many, by several clients at once."""
    with psycopg.connect(allocator.dsn, autocommit=True) as conn:
        conn.execute(SAME_SHAPE)
    work = iter([(name, batch) for batch in batches for name in allocator.names])
    blocks = iter([_render_copy(n, name, batch) for n, (name, batch) in enumerate(work)])
    connections = [await psycopg.AsyncConnection.connect(allocator.dsn, autocommit=True) for _ in range(COPIERS)]
    begun = time.perf_counter()
    await asyncio.gather(*(_copy_blocks(conn, blocks) for conn in connections))
    took_s = time.perf_counter() - begun
    for connection in connections:
        await connection.close()
    return took_s


def _render_copy(number: int, name: str, batch: Batch) -> bytes:
    moments = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at // 1000)) + f".{at % 1000:03}+00" for _, at, _ in batch
    )
    rows = zip(batch, moments, strict=True)
    lines = (f"{number * LINES + n}\t{at}\t{name}\t{row[0]}\t{row[2]}\n" for n, (row, at) in enumerate(rows))
    return "".join(lines).encode()


async def _copy_blocks(conn: psycopg.AsyncConnection, blocks: Iterator[bytes]) -> None:
    statement = sql.SQL(f"COPY bare ({COLUMNS}) FROM STDIN")
    for block in blocks:
        async with conn.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(block)


def _measure_reading(allocator: Allocator) -> list[Figure]:
    """One VM's log of 10 MB among the lines of the others."""
    name = allocator.names[0]
    with psycopg.connect(allocator.dsn, autocommit=True) as conn:
        conn.execute(LARGE, {"name": name, "lines": LARGE_LINES, "line": LARGE_LINE})
        conn.execute("UPDATE vm_log_head SET number = 2000000, last_at = now() WHERE hostname = %s", (name,))
        conn.execute("VACUUM ANALYZE vm_log")
    whole = _read(allocator, f"/api/vm-logs/{name}?format=text")
    page = _read(allocator, f"/api/vm-logs/{name}?after={1_000_000 + LARGE_LINES // 2}&limit={PAGE_LINES}")
    note = f"{len(whole.last_body) / 1e6:.1f} MB"
    return [
        Figure("reading a log of 10 MB, whole", median(whole.took_s) * 1000, WHOLE_MS, note=note),
        Figure("its first byte", median(whole.first_byte_s) * 1000, FIRST_BYTE_MS),
        Figure(f"a page of {PAGE_LINES} lines of it", median(page.took_s) * 1000, PAGE_MS),
    ]


def _read(allocator: Allocator, path: str) -> Outcome:
    outcome = asyncio.run(send_all(allocator.port, [render_call("GET", path, allocator.admin)] * READS, 1))
    assert outcome.statuses == {200: READS}, outcome.statuses
    return outcome
