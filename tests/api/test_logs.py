"""Log lines: what the Lambda posts is stored once, in order, without secrets, and only as much as a VM may write."""

import time
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import anyio
import httpx
import pytest

from api.log_body import LONGEST_LINE
from api.log_writer import MOST_CHARACTERS, MOST_LINES, limit_lines
from store.vmlog import Head, Line
from tests.api.world import LOG_TOKEN, World, serving

pytestmark = pytest.mark.anyio

LOGS = {"Authorization": f"Bearer {LOG_TOKEN}"}
HOUR_AGO_MS = int(time.time() * 1000) - 3_600_000


def events(texts: list[str], at: int = HOUR_AGO_MS, prefix: str = "id") -> list[dict[str, Any]]:
    return [{"id": f"{prefix}-{n:06}", "timestamp": at + n, "message": text} for n, text in enumerate(texts)]


async def post(world: World, name: str, batch: list[dict[str, Any]]) -> httpx.Response:
    body = {"log_group": "g", "log_stream": name, "messages": [event["message"] for event in batch], "events": batch}
    return await world.http.post("/api/vm-logs", json=body, headers=LOGS)


async def read_text(world: World, name: str) -> list[str]:
    return ((await world.admin.get(f"/api/vm-logs/{name}")).json()["logs"] or "").split("\n")


async def test_batches_of_many_vms_posted_twice_at_once_are_stored_once_and_in_order(dsn: str) -> None:
    vms, batches, size = 10, 12, 50
    async with serving(dsn) as world:
        names = await world.add_vms(vms)
        texts = [f"line {n}" for n in range(batches * size)]
        every = events(texts)
        work = [(name, every[n * size : (n + 1) * size]) for n in range(batches) for name in names] * 2
        statuses: Counter[int] = Counter()

        async def send() -> None:
            while work:
                statuses[(await post(world, *work.pop())).status_code] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(send)
        assert statuses == {200: 2 * vms * batches}
        for name in names:
            assert await read_text(world, name) == texts
        numbers = await world.sql("SELECT count(*) AS n, count(DISTINCT (hostname, number)) AS given FROM vm_log")
        assert numbers == [{"n": vms * len(texts), "given": vms * len(texts)}]


async def test_batch_of_an_old_lambda_is_stored_once_though_it_has_no_ids(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        body = {"log_group": "g", "log_stream": name, "messages": ["same", "same", "end"]}
        for _ in range(3):
            assert (await world.http.post("/api/vm-logs", json=body, headers=LOGS)).status_code == 200
        assert await read_text(world, name) == ["same", "same", "end"]
        await world.http.post("/api/vm-logs", json=body | {"messages": ["same", "same"]}, headers=LOGS)
        assert await read_text(world, name) == ["same", "same", "end", "same", "same"]


async def test_lines_of_another_age_are_kept_in_the_days_that_there_are_and_once(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for at in (0, HOUR_AGO_MS - 20 * 86_400_000, HOUR_AGO_MS, HOUR_AGO_MS + 365 * 86_400_000):
            for _ in range(2):
                assert (await post(world, name, events(["a", "b"], at, f"{at}"))).status_code == 200
        assert len(await read_text(world, name)) == 8
        (span,) = await world.sql("SELECT now() - min(at) AS back, max(at) - now() AS ahead FROM vm_log")
        assert span["back"].days <= 31
        assert span["ahead"].total_seconds() <= 2 * 3600


async def test_what_no_text_can_hold_and_what_is_secret_stays_out_of_the_store(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        texts = [
            "<script>alert(1)</script>",
            "\x1b[31mred\x1b[0m\ttab",
            "null\0byte\r\n",
            'start-host --code="4/0AbCdEfGhIjKlMn" --name=x',
            "API_TOKEN=0123456789abcdef and PIN: 123456",
            "x" * (LONGEST_LINE + 7),
            "two\nlines \\ back",
        ]
        assert (await post(world, name, events(texts))).status_code == 200
        rows = await world.sql("SELECT line FROM vm_log ORDER BY number")
        assert [row["line"] for row in rows] == [
            "<script>alert(1)</script>",
            "\x1b[31mred\x1b[0m\ttab",
            "nullbyte",
            'start-host --code="[redacted]" --name=x',
            "API_TOKEN=[redacted] and PIN: [redacted]",
            "x" * LONGEST_LINE + " … [7 more characters were left out]",
            "two\nlines \\ back",
        ]


@pytest.mark.parametrize("wrong", [b"\xff\xfe", b"\\ud800"])
async def test_line_that_is_not_unicode_does_not_keep_its_batch_away(dsn: str, wrong: bytes) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        body = b'{"log_stream": "%b", "messages": ["good", "<%b>"]}' % (name.encode(), wrong)
        assert (await world.http.post("/api/vm-logs", content=body, headers=LOGS)).status_code == 200
        good, mended = await read_text(world, name)
        assert good == "good"
        assert (mended[0], mended[-1]) == ("<", ">")


@pytest.mark.parametrize(
    "texts", [[""], ["", ""], ["\x1e", "a\x1eb", ""], ['"{}[],\\', "\\N", "NULL", "\tx\x0b "], ["ümläut 🚀", "\u2028"]]
)
async def test_line_is_stored_as_it_was_whatever_is_in_it(dsn: str, texts: list[str]) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        assert (await post(world, name, events(texts))).status_code == 200
        assert [row["line"] for row in await world.sql("SELECT line FROM vm_log ORDER BY number")] == texts


async def test_lines_of_a_gone_vm_are_stored_and_read(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms(phase="gone")
        assert (await post(world, name, events(["its last words"]))).status_code == 200
        assert await read_text(world, name) == ["its last words"]


async def test_days_that_nobody_has_made_are_made_by_the_line_that_needs_them(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for row in await world.sql(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'vm_log'::regclass"
        ):
            await world.sql(f"DROP TABLE {row['name']}")
        assert (await post(world, name, events(["midnight"]))).status_code == 200
        assert await read_text(world, name) == ["midnight"]


def head(lines: int, size: int, day: date) -> Head:
    return Head(number=lines, first_at=None, last_at=None, day=day, day_lines=lines, day_bytes=size)


def test_a_vm_that_wrote_too_much_today_gets_one_line_that_says_so() -> None:
    now = datetime(2031, 5, 4, 12, tzinfo=UTC)
    lines = [Line(f"{n}", 1000 + n, "x" * 10) for n in range(10)]
    assert limit_lines(lines, head(MOST_LINES - 10, 0, now.date()), now) == lines
    assert limit_lines(lines, head(MOST_LINES, MOST_CHARACTERS, date(2031, 5, 3)), now) == lines  # yesterday's
    for full in (head(MOST_LINES - 3, 0, now.date()), head(0, MOST_CHARACTERS - 35, now.date())):
        *kept, marker = limit_lines(lines, full, now)
        assert kept == lines[:3]
        assert (marker.event_id, marker.once_since) == ("full-20310504", 1)


async def test_log_posts_are_refused_as_the_contract_says(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        good = {"log_stream": name, "messages": ["a"]}
        assert (await world.http.post("/api/vm-logs", json=good)).status_code == 401
        for body, status in (
            (b"{", 400),
            (b'{"log_stream": "x"}', 400),
            (b'{"messages": ["a"]}', 400),
            (b'{"log_stream": "nobody", "messages": ["a"]}', 404),
            (b" " * (5 * 1024 * 1024), 413),
            (b" " * (17 * 1024 * 1024), 413),
        ):
            answer = await world.http.post("/api/vm-logs", content=body, headers=LOGS)
            assert answer.status_code == status
            assert answer.json()["error"]
