"""Reading a VM's log: whole, as text, in pages, searched, and live across reconnections."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from api import log_reading
from store import vmlog_read
from tests.api.test_logs import events, post, read_text
from tests.api.world import World, serving

pytestmark = pytest.mark.anyio


async def read_page(world: World, name: str, **query: Any) -> dict[str, Any]:
    answer = await world.admin.get(f"/api/vm-logs/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def texts_of(page: dict[str, Any]) -> list[str]:
    return [item["line"] for item in page["items"]]


async def test_pages_go_on_where_the_last_one_ended(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        texts = [f"line {n}" for n in range(25)]
        await post(world, name, events(texts))
        found, after, more = [], 0, True
        while more:
            page = await read_page(world, name, after=after, limit=10)
            found += texts_of(page)
            after, more = page["next"], page["more"]
        assert found == texts
        assert await read_page(world, name, after=after) == {
            "hostname": name,
            "items": [],
            "next": after,
            "more": False,
        }
        await post(world, name, events(["new"], prefix="new"))
        assert texts_of(await read_page(world, name, after=after)) == ["new"]
        assert texts_of(await read_page(world, name, after=-3)) == ["line 23", "line 24", "new"]


async def test_text_is_in_the_order_of_time_and_pages_in_the_order_of_arrival(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        every = events([f"line {n}" for n in range(4)])
        for part in (every[2:], every[:2]):
            await post(world, name, part)
        assert await read_text(world, name) == ["line 0", "line 1", "line 2", "line 3"]
        assert texts_of(await read_page(world, name, after=0)) == ["line 2", "line 3", "line 0", "line 1"]


async def test_whole_log_comes_in_pieces_of_bounded_size(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reading, "FIRST_LINES", 3)
    monkeypatch.setattr(log_reading, "AT_ONCE_BYTES", 1_000)
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        texts = [f'{n} "é" \\ ' + "x" * (5_000 if n % 10 == 0 else 20) for n in range(200)]
        await post(world, name, events(texts))
        assert await read_text(world, name) == texts
        plain = await world.admin.get(f"/api/vm-logs/{name}", params={"format": "text"})
        assert plain.headers["content-type"] == "text/plain; charset=utf-8"
        assert plain.text == "\n".join(texts) + "\n"


async def test_codes_for_terminals_are_kept_but_left_out_on_demand(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        raw = ["\x1b[1;31mred\x1b[0m", "\x1b]0;title\x07x", "10%\r50%\r100%", "tab\tbell\x07", "\x1b[999", "<b>"]
        await post(world, name, events(raw))
        assert texts_of(await read_page(world, name, after=0)) == raw
        shown = ["red", "x", "100%", "tab\tbell", "999", "<b>"]
        assert texts_of(await read_page(world, name, after=0, plain=True)) == shown
        assert (await read_page(world, name, plain=True))["logs"].split("\n") == shown


async def test_search_finds_words_and_troubles_and_says_where_to_go_on(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmlog_read, "SCANNED", 50)
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        texts = [f"line {n}" for n in range(200)]
        texts[20], texts[180], texts[190] = "Needle % one", "E: Unable to locate", "no errored or failures here"
        await post(world, name, events(texts))
        page = await read_page(world, name, contains="NEEDLE %")
        assert (texts_of(page), page["next"], page["more"]) == (["Needle % one"], 50, True)
        found, after, more = [], 0, True
        while more:
            page = await read_page(world, name, errors=True, after=after)
            found += texts_of(page)
            after, more = page["next"], page["more"]
        assert found == ["E: Unable to locate"]
        assert texts_of(await read_page(world, name, contains="line 7", limit=2)) == ["line 7", "line 70"][:1]


async def follow(world: World, name: str, last_id: str = "") -> AsyncIterator[tuple[str, list[str]]]:
    """The events of a stream, as (id, lines)."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    async with world.admin.stream("GET", f"/api/vm-logs/{name}", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        last = ""
        async for line in stream.aiter_lines():
            if line.startswith("id:"):
                last = line[3:].strip()
            if line.startswith("data:"):
                yield last, texts_of(json.loads(line[5:]))


async def test_follower_who_comes_back_has_missed_nothing_and_sees_nothing_twice(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await post(world, name, events(["one"], prefix="1"))
        seen: list[str] = []
        last = ""
        for n in range(2, 5):
            stream = follow(world, name, last)
            if n == 2:
                last, lines = await anext(stream)
                seen += lines
            await post(world, name, events([f"live {n}"], prefix=f"{n}"))
            with anyio.fail_after(10):
                last, lines = await anext(stream)
            seen += lines
            await stream.aclose()  # type: ignore[attr-defined]
            await post(world, name, events([f"missed {n}"], prefix=f"m{n}"))
            if n < 4:
                stream = follow(world, name, last)
                last, lines = await anext(stream)
                seen += lines
                await stream.aclose()  # type: ignore[attr-defined]
        assert seen == ["one", "live 2", "missed 2", "live 3", "missed 3", "live 4"]


async def test_follower_hears_of_lines_that_another_process_wrote(dsn: str) -> None:
    async with serving(dsn) as one, serving(dsn, yaml=None) as other:
        (name,) = await one.add_vms()
        await post(one, name, events(["first"], prefix="1"))
        stream = follow(one, name)
        assert (await anext(stream))[1] == ["first"]
        await post(other, name, events(["second"], prefix="2"))
        with anyio.fail_after(20):
            assert (await anext(stream))[1] == ["second"]
        await stream.aclose()  # type: ignore[attr-defined]


async def test_followers_end_with_the_process(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await post(world, name, events(["first"]))
        stream = follow(world, name)
        await anext(stream)
        world.server.should_exit = True
        with anyio.fail_after(20):
            assert [event async for event in stream] == []


async def test_reading_scans_no_table(dsn: str) -> None:
    async with serving(dsn) as world:
        names = await world.add_vms(5)
        for name in names:
            await post(world, name, events([f"line {n} of {name}" for n in range(2_000)]))
        await world.sql("ANALYZE vm_log, vm_log_head, vm")
        async with world.db.connection() as conn:
            span = await vmlog_read.read_span(conn, names[0])
            assert span is not None
            params = {
                "hostname": names[0], "after": 500, "first_at": span.first_at, "last_at": span.last_at, "limit": 100,
                "scanned": 1000, "contains": "x", "errors": True, "at": span.first_at, "number": 0, "lines": 500, "bytes": 10**6,
            }  # fmt: skip
            for sql in (vmlog_read.FOUND, vmlog_read.LAST, vmlog_read.TEXT):
                plan = await (await conn.execute(f"EXPLAIN {sql}", params)).fetchall()
                text = "\n".join(row["QUERY PLAN"] for row in plan)
                assert "Seq Scan" not in text, text
                assert "Index" in text


async def test_reading_is_refused_as_the_contract_says(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for path, status in (
            ("nobody", 404),
            (f"{name}?format=xml", 400),
            (f"{name}?limit=0", 400),
            (f"{name}?after=x", 400),
            ("a%00b", 404),
            (name, 503),
        ):
            answer = await world.admin.get(f"/api/vm-logs/{path}")
            assert (answer.status_code, bool(answer.json()["error"])) == (status, True), path
