"""`/api/v1/events`: what happened, as a page or as a stream of server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import anyio
from litestar import Request, Response, get
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from api.answers import Page
from api.openapi import EVENTS, answering_also
from api.paging import Limit, NumberCursor, page
from api.parts import AnyDb, TheFeed
from api.signal import Signal
from schemas.status import Event
from store.db import Db
from store.event import read_events

Subject = Annotated[
    str | None, QueryParameter(max_length=300, description="Only about this: pool/client, vm/NAME, desired.")
]
QUIET_S = 15.0  # a stream without news says so this often, so that proxies keep it
AT_ONCE = 500


class Filters(TypedDict):
    """Which events are wanted; None: any."""

    subject: str | None
    pool: str | None


LISTED = {200: ResponseSpec(Page[Event], description="In their order; as server-sent events for ever.")}


@get("/events", operation_class=answering_also(EVENTS), responses=LISTED)
async def get_events(
    request: Request[Any, Any, Any],
    db: AnyDb,
    feed: TheFeed,
    *,
    after: NumberCursor = None,
    subject: Subject = None,
    pool: FromQuery[str | None] = None,
    limit: Limit = 100,
) -> Response[Page[Event]] | ServerSentEvent:
    """Events in their order, after a cursor or the newest; with `Accept: text/event-stream` they go on for ever."""
    about: Filters = {"subject": subject, "pool": pool}
    if "text/event-stream" in request.headers.get("accept", ""):
        seen = request.headers.get("last-event-id", "")
        start = int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 19 else after
        return ServerSentEvent(_follow(db, feed, start, about), headers={"X-Accel-Buffering": "no"})
    async with db.connection() as conn:
        events = await read_events(conn, after=after, limit=limit, **about)
    return Response(page(events, limit, lambda event: event.id))


async def _follow(db: Db, feed: Signal, after: int | None, about: Filters) -> AsyncIterator[ServerSentEventMessage]:
    while not feed.closed:
        rung = feed.mark()
        async with db.connection() as conn:
            events = await read_events(conn, after=after, limit=AT_ONCE, **about)
        for event in events:
            after = event.id
            yield ServerSentEventMessage(data=event.model_dump_json(), id=event.id, event="event")
        after = after or 0
        if len(events) == AT_ONCE:
            continue
        with anyio.move_on_after(QUIET_S) as quiet:
            await rung.wait()
        if quiet.cancelled_caught:
            yield ServerSentEventMessage(comment="quiet")


ROUTES = [get_events]
