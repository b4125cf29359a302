"""`/api/v1/events`: what happened, as a page or as a stream of server-sent events; and `/api/v1/runs`."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from litestar import Request, Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from api.errors import NotFoundError
from api.paging import Limit, NumberCursor, page
from api.parts import AnyDb, TheFeed
from api.signal import Signal
from store.db import Db
from store.event import read_events
from store.run_history import list_runs, read_run

Subject = Annotated[
    str | None, QueryParameter(max_length=300, description="Only about this: pool/client, vm/NAME, desired.")
]
QUIET_S = 15.0  # a stream without news says so this often, so that proxies keep it
AT_ONCE = 500


@get("/events")
async def get_events(
    request: Request[Any, Any, Any],
    db: AnyDb,
    feed: TheFeed,
    *,
    after: NumberCursor = None,
    subject: Subject = None,
    limit: Limit = 100,
) -> Response[Any]:
    """Events in their order, after a cursor or the newest; with `Accept: text/event-stream` they go on for ever."""
    if "text/event-stream" in request.headers.get("accept", ""):
        seen = request.headers.get("last-event-id", "")
        start = int(seen) if seen.isdecimal() and len(seen) < 19 else after
        return ServerSentEvent(_follow(db, feed, start, subject), headers={"X-Accel-Buffering": "no"})
    async with db.connection() as conn:
        events = await read_events(conn, after=after, subject=subject, limit=limit)
    return Response(page(events, limit, lambda event: event.id))


async def _follow(
    db: Db, feed: Signal, after: int | None, subject: str | None
) -> AsyncIterator[ServerSentEventMessage]:
    while not feed.closed:
        rung = feed.mark()
        async with db.connection() as conn:
            events = await read_events(conn, after=after, subject=subject, limit=AT_ONCE)
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


@get("/runs")
async def get_runs(
    db: AnyDb, pool: FromQuery[str | None] = None, after: NumberCursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """Terraform runs, newest first."""
    async with db.connection() as conn:
        runs = await list_runs(conn, pool=pool, before=after, limit=limit)
    return page(runs, limit, lambda run: run.id)


@get("/runs/{run_id:int}")
async def get_run(db: AnyDb, run_id: FromPath[int]) -> dict[str, Any]:
    """One Terraform run with its output."""
    async with db.connection() as conn:
        run = await read_run(conn, run_id) if 0 < run_id < 2**63 else None
    if run is None:
        raise NotFoundError(f"there is no run {run_id}")
    return run.model_dump(mode="json")


ROUTES = [get_events, get_runs, get_run]
