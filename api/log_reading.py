"""`GET /api/vm-logs/{hostname}`: the log of one VM as a whole, page by page, as text, or live."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
from litestar import Request, Response, get
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage, Stream

from api.admins import admin_unless_public
from api.errors import BadInputError, NotFoundError, NotNowError
from api.log_feed import LogFeed
from api.openapi import EVENTS, answering_also
from api.parts import AnyDb, TheLogFeed
from api.plain import plain as make_plain
from schemas.logs import LogLine, LogPage, WholeLog
from store.db import Db
from store.vmlog_read import LogSpan, Search, TextPage, read_lines, read_span, read_text

AnyRequest = Request[Any, Any, Any]
After = Annotated[
    int | None,
    QueryParameter(ge=-100_000, le=2**62, description="`next` of the page before; -n begins n lines before the end."),
]
Lines = Annotated[int | None, QueryParameter(ge=1, le=1000, description="How many lines at most.")]
Contains = Annotated[str, QueryParameter(max_length=200, description="Only lines that hold this, in any case.")]

PAGE = 500
FIRST_LINES, MORE_LINES = 500, 5_000  # few at first, so that a reader sees something at once
AT_ONCE_BYTES = 1_000_000
# Litestar reads a union here, too, but its annotation does not say so.
ANSWERS = {200: ResponseSpec(WholeLog | LogPage, description="The whole log, or the page that was asked for.")}  # type: ignore[arg-type]
QUIET_S = 15.0  # a stream without news says so this often, so that proxies keep it


@get(
    "/api/vm-logs/{hostname:str}",
    operation_class=answering_also("text/plain", EVENTS),
    guards=[admin_unless_public],
    responses=ANSWERS,
)
async def get_logs(
    request: AnyRequest,
    db: AnyDb,
    log_feed: TheLogFeed,
    *,
    hostname: FromPath[str],
    after: After = None,
    limit: Lines = None,
    contains: Contains = "",
    errors: FromQuery[bool] = False,
    plain: FromQuery[bool] = False,
    format: FromQuery[str] = "json",  # noqa: A002 (the parameter's name in the contract)
) -> Response[Any]:
    """The log of one VM; 503 while it starts and has written none.

    `after`, `limit`, `contains` or `errors` ask for a page: lines as they came in, `next` to go on from (a search goes on until `more`
    is false). `format=text` is the whole as text, `Accept: text/event-stream` follows it. `plain` leaves out terminal codes.
    """
    if format not in ("json", "text"):
        raise BadInputError(f"there is no format {format!r}; ask for json or text")
    span = await find_span(db, hostname)
    reader = LogReader(db, hostname, make_plain if plain else str)
    if "text/event-stream" in request.headers.get("accept", ""):
        start = read_start(request.headers.get("last-event-id", ""), after, span)
        return ServerSentEvent(reader.follow(log_feed, start), headers={"X-Accel-Buffering": "no"})
    if not span.number and span.status == "initializing":
        raise NotNowError(f"{hostname} is starting and has written no log yet")
    if format == "text":
        return Stream(reader.stream_text(span), media_type="text/plain")
    if after is None and limit is None and not contains and not errors:
        return Stream(reader.stream_json(span), media_type="application/json")
    start = read_start("", after or 0, span)
    return Response(await reader.read_page(span, start, limit or PAGE, Search(contains, errors)))


def read_start(last_event_id: str, after: int | None, span: LogSpan) -> int:
    """The number after which a reader begins; without any word of where, a page before the end."""
    if last_event_id.isdecimal() and len(last_event_id) < 19:
        return int(last_event_id)
    after = -PAGE if after is None else after
    return after if after >= 0 else max(0, span.number + after)


async def find_span(db: Db, hostname: str) -> LogSpan:
    """Raises NotFoundError. VMs that are gone still have their log."""
    async with db.connection() as conn:
        span = await read_span(conn, hostname) if "\0" not in hostname else None
    if span is None:
        raise NotFoundError(f"there is no VM {hostname!r}")
    return span


class LogReader:
    """Reads the log of one VM in pages, so that memory is bounded whatever its size and however slow the caller."""

    def __init__(self, db: Db, hostname: str, show: Callable[[str], str]) -> None:
        self._db = db
        self._hostname = hostname
        self._show = show

    async def read_page(self, span: LogSpan, after: int, limit: int, search: Search) -> LogPage:
        async with self._db.connection() as conn:
            lines, last = await read_lines(conn, self._hostname, span, after=after, limit=limit, search=search)
        return LogPage(
            hostname=self._hostname,
            items=[LogLine(number=line.number, at=line.at, line=self._show(line.line)) for line in lines],
            next=last,
            more=last < span.number and last != after,
        )

    async def stream_json(self, span: LogSpan) -> AsyncIterator[bytes]:
        """The old system's answer, whose text may be large: `{"hostname", "logs": text or null}`."""
        yield b'{"hostname":%b,"logs":' % json.dumps(self._hostname).encode()
        count = 0
        async for text in self._texts(span):
            yield (b"\\n" if count else b'"') + json.dumps(text, ensure_ascii=False)[1:-1].encode()
            count += 1
        yield b'"}' if count else b"null}"

    async def stream_text(self, span: LogSpan) -> AsyncIterator[bytes]:
        async for text in self._texts(span):
            yield f"{text}\n".encode()

    async def _texts(self, span: LogSpan) -> AsyncIterator[str]:
        """Each page is read while the one before is sent."""
        coming = asyncio.create_task(self._read_text(span, None, FIRST_LINES))
        try:
            while page := await coming:
                coming = asyncio.create_task(self._read_text(span, page, _guess_lines(page)))
                yield self._show(page.text)
        finally:
            coming.cancel()

    async def _read_text(self, span: LogSpan, before: TextPage | None, lines: int) -> TextPage | None:
        async with self._db.connection() as conn:
            return await read_text(conn, self._hostname, span, before, lines=lines, most_bytes=AT_ONCE_BYTES)

    async def follow(self, feed: LogFeed, after: int) -> AsyncIterator[ServerSentEventMessage]:
        """Pages for ever, as events `lines` whose id is the number to go on from (`Last-Event-ID`)."""
        with feed.follow(self._hostname) as bell:
            while not bell.closed:
                rung = bell.mark()
                page = await self.read_page(await find_span(self._db, self._hostname), after, PAGE, Search())
                if page.items:
                    after = page.next
                    yield ServerSentEventMessage(data=page.model_dump_json(), id=after, event="lines")
                if page.more:
                    continue
                with anyio.move_on_after(QUIET_S) as quiet:
                    await rung.wait()
                if quiet.cancelled_caught:
                    yield ServerSentEventMessage(comment="quiet")


def _guess_lines(page: TextPage) -> int:
    """How many lines of such a length are surely not too much for one page."""
    return max(1, min(MORE_LINES, AT_ONCE_BYTES * 3 // 4 * page.lines // (len(page.text) + 1)))


ROUTES = [get_logs]
