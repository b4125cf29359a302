"""Log lines: how fast they are taken beside COPY of the same lines into a table of the same shape, and how fast they are read."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from statistics import median

import psycopg
from psycopg import sql

from bench.allocator import Allocator, running_allocator
from bench.figure import Curve, Figure, figure_of
from bench.load import Outcome, render_call, send_all

VMS, BATCHES, LINES = 20, 200, 50
IN_FLIGHT = 20
COPIERS = 8
RATIO_LIMIT = 1 / 0.35  # of the time a line takes
LARGE_LINES, LARGE_LINE = 100_000, 100
DISK_B, SAID = 800, "117 of them are text, 54 the id that CloudWatch gives"
GROWTH = (100, 1_000, 10_000, LARGE_LINES)
READS = 9
PARTS = 5
WARM = IN_FLIGHT * 10
LONG_TURNS, LONG_BATCHES, LONG_RATIO = 5, 40, 1.25
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

HEAD = """
INSERT INTO vm_log_head AS h (hostname, number, first_at, last_at)
SELECT hostname, max(number), min(at), max(at) FROM vm_log WHERE hostname = %s GROUP BY hostname
ON CONFLICT (hostname) DO UPDATE SET number = excluded.number, first_at = excluded.first_at, last_at = excluded.last_at
"""
DISK = """
SELECT sum(pg_total_relation_size(inhrelid)) / (SELECT count(*) FROM vm_log) FROM pg_inherits WHERE inhparent = 'vm_log'::regclass
"""

Batch = list[tuple[str, int, str]]  # id, epoch ms, text


def build_batches(prefix: str, count: int, began_ms: int) -> list[Batch]:
    """Batches of lines in the words of cloud-init, with ids as long as CloudWatch's."""
    return [
        [(f"{prefix}{n:050}", began_ms + n, WORDS.format(n=n)) for n in range(b * LINES, (b + 1) * LINES)]
        for b in range(count)
    ]


def measure_logs() -> list[Figure | Curve]:
    with running_allocator(VMS) as allocator:
        return [*_measure_ingest(allocator), *_measure_reading(allocator), _measure_long(allocator)]


def _measure_ingest(allocator: Allocator) -> list[Figure | Curve]:
    """Ours and COPY in parts, one after the other, so that a busy moment of the machine falls on both."""
    batches = build_batches("3812", BATCHES, int(time.time() * 1000) - 3_600_000)
    posts = [(name, batch) for batch in batches for name in allocator.names]
    calls = [_render_post(allocator, name, batch) for name, batch in posts]
    asyncio.run(send_all(allocator.port, calls[:WARM], IN_FLIGHT))  # the first of the doubles, too
    with psycopg.connect(allocator.dsn, autocommit=True) as conn:
        conn.execute(SAME_SHAPE)
    ours, bare, ends, each = [], [], [], (len(calls) - WARM) // PARTS
    for first in range(WARM, len(calls), each):
        outcome = asyncio.run(send_all(allocator.port, calls[first : first + each], IN_FLIGHT))
        assert outcome.statuses == {200: each}, outcome.statuses
        ours.append(outcome.seconds / (each * LINES) * 1e6)
        bare.append(asyncio.run(_copy(allocator, posts[first : first + each], first)) / (each * LINES) * 1e6)
        ends.append((first + each) * LINES)
    again = asyncio.run(send_all(allocator.port, calls, IN_FLIGHT))
    note = f"{1e6 / median(ours):,.0f} / {1e6 / median(bare):,.0f} lines/s; {_count_stored(allocator)}; {_refused(again)} refused"
    name = f"a log line in posts of {LINES}, {IN_FLIGHT} in flight, beside COPY"
    return [
        figure_of(name, ours, RATIO_LIMIT, "µs", baselines=bare, note=note),
        Figure("disk of a stored line, with its indexes", _read_disk(allocator), DISK_B, "B", note=SAID),
        Curve("a log line is stored", "lines stored before", "µs", dict(zip(ends, ours, strict=True))),
    ]


def _count_stored(allocator: Allocator) -> str:
    total = VMS * BATCHES * LINES
    with psycopg.connect(allocator.dsn) as conn:
        stored = conn.execute("SELECT count(*), count(DISTINCT (hostname, event_id)) FROM vm_log").fetchone()
    assert stored == (total, total), stored
    return f"{total:,} stored, each once"


def _read_disk(allocator: Allocator) -> float:
    """Bytes a line."""
    with psycopg.connect(allocator.dsn) as conn:
        row = conn.execute(DISK).fetchone()
    assert row is not None
    return float(row[0])


def _refused(*outcomes: Outcome) -> int:
    return sum(count for outcome in outcomes for status, count in outcome.statuses.items() if status != 200)


def _render_post(allocator: Allocator, name: str, batch: Batch) -> bytes:
    events = [{"id": event_id, "timestamp": at, "message": text} for event_id, at, text in batch]
    body = {"log_group": "g", "log_stream": name, "messages": [text for _, _, text in batch], "events": events}
    return render_call("POST", "/api/vm-logs", allocator.log_shipper, body)


async def _copy(allocator: Allocator, posts: Sequence[tuple[str, Batch]], first: int) -> float:
    """The same lines in transactions of as many, by several clients at once."""
    blocks = iter([_render_copy(first + n, name, batch) for n, (name, batch) in enumerate(posts)])
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


def _measure_reading(allocator: Allocator) -> list[Figure | Curve]:
    """Logs of up to 10 MB of some VMs among the lines of the others."""
    with psycopg.connect(allocator.dsn, autocommit=True) as conn:
        for name, lines in zip(allocator.names, GROWTH, strict=False):
            conn.execute(LARGE, {"name": name, "lines": lines, "line": LARGE_LINE})
            conn.execute(HEAD, (name,))
        conn.execute("VACUUM ANALYZE vm_log")
    reads = {
        lines: _read(allocator, f"/api/vm-logs/{name}?format=text")
        for name, lines in zip(allocator.names, GROWTH, strict=False)
    }
    whole, name = reads[LARGE_LINES], allocator.names[len(GROWTH) - 1]
    page = _read(allocator, f"/api/vm-logs/{name}?after={1_000_000 + LARGE_LINES // 2}&limit={PAGE_LINES}")
    note = f"{len(whole.last_body) / 1e6:.1f} MB"
    return [
        figure_of("reading a log of 10 MB, whole", _in_ms(whole.took_s), WHOLE_MS, note=note),
        figure_of("its first byte", _in_ms(whole.first_byte_s), FIRST_BYTE_MS),
        figure_of(f"a page of {PAGE_LINES} lines of it", _in_ms(page.took_s), PAGE_MS),
        Curve("reading a log, whole", "lines", "ms", {n: median(_in_ms(read.took_s)) for n, read in reads.items()}),
    ]


def _in_ms(took_s: Sequence[float]) -> list[float]:
    return [1000 * took for took in took_s]


def _measure_long(allocator: Allocator) -> Figure:
    """Posts to the VM whose log has 10 MB, and to one with few lines, in turn."""
    now_ms = int(time.time() * 1000)
    short: list[float] = []
    long: list[float] = []
    for turn in range(LONG_TURNS):
        batches = build_batches(f"47{turn}", LONG_BATCHES, now_ms)
        for name, took_us in ((allocator.names[-1], short), (allocator.names[len(GROWTH) - 1], long)):
            calls = [_render_post(allocator, name, batch) for batch in batches]
            outcome = asyncio.run(send_all(allocator.port, calls, 1))
            assert outcome.statuses == {200: len(calls)}, outcome.statuses
            took_us.append(outcome.seconds / (len(calls) * LINES) * 1e6)
    return figure_of("a log line of a VM with 10 MB, beside one of a young VM", long, LONG_RATIO, "µs", baselines=short)


def _read(allocator: Allocator, path: str) -> Outcome:
    outcome = asyncio.run(send_all(allocator.port, [render_call("GET", path, allocator.admin)] * READS, 1))
    assert outcome.statuses == {200: READS}, outcome.statuses
    return outcome
