"""`/seat`: the person's own page, by the cookie of the browser that asked, or by email and PIN. No login."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
from litestar import Response, get, post
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from api.cookie import make_cookie
from api.fields import read_fields
from api.pages.home import read_own
from api.pages.people import show_seat
from api.pages.shell import AnyRequest, Wrong, say, show
from api.parts import AnyDb, TheBinder, TheFeed, TheSettings
from api.signal import Signal
from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import find_assignment, leave_line, read_assignment, read_place, release_vm
from store.db import UNREACHABLE, Db, transaction

UNKNOWN = "no desktop is open for this email address and PIN; look at both again, or ask for a new desktop"
BREATH_S = 1.0
LOOK_S = 5.0  # a command that was handed over rings no bell


@get("/seat", media_type="text/html", include_in_schema=False)
async def get_seat(request: AnyRequest, db: AnyDb, settings: TheSettings) -> Template:
    """The seat of this browser, or the form that finds it."""
    own = await read_own(request, db, settings)
    if own is None:
        return show(request, "people/find.html", email="")
    return await show_seat(request, db, own)


@post("/seat", status_code=200, include_in_schema=False)
async def post_seat(request: AnyRequest, db: AnyDb, settings: TheSettings) -> Response[Any]:
    """Email and PIN lead another browser to the seat: it gets the cookie, too."""
    fields = await read_fields(request, "`email` and `pin`")
    email, pin = fields["email"].lower(), fields["pin"]
    async with db.connection() as conn:
        found = await find_assignment(conn, email, pin)
    if found is None:
        return show(request, "people/find.html", 404, email=fields["email"], error=Wrong(UNKNOWN))
    secret = settings.deployment_secret.get_secret_value().encode()
    answer = say("/seat", "Here it is.")
    answer.set_cookie(make_cookie(secret, found.id, settings.secure))
    return answer


@post("/seat/done", status_code=200, include_in_schema=False)
async def post_done(request: AnyRequest, db: AnyDb, settings: TheSettings, binder: TheBinder) -> Response[Any]:
    """The person gives the desktop, or the place in line, back."""
    own = await read_own(request, db, settings)
    if own is None or own.status is AssignmentStatus.ENDED:
        return say("/seat", "There was nothing to give back any more.")
    async with transaction(db) as conn:
        if own.hostname:
            await release_vm(conn, own.pool, own.hostname, "user", "given back by its user")
        else:
            await leave_line(conn, own.id, "given up by its user")
    await binder.bind(own.pool)
    return say("/seat", "Thank you. The next person gets a clean one.")


@get("/seat/live", include_in_schema=False)
async def get_live(request: AnyRequest, db: AnyDb, settings: TheSettings, feed: TheFeed) -> ServerSentEvent:
    """Says `changed` whenever the page would show something else."""
    own = await read_own(request, db, settings)
    return ServerSentEvent(_follow(db, feed, own))


async def _follow(db: Db, feed: Signal, own: Assignment | None) -> AsyncIterator[ServerSentEventMessage]:
    told: Any = None
    while own and not feed.closed:
        rung = feed.mark()
        shown = await _read_shown(db, own)
        if told not in (None, shown):
            yield ServerSentEventMessage(data="", event="changed")
        else:
            yield ServerSentEventMessage(comment="quiet")
        told = shown or told
        await anyio.sleep(BREATH_S)
        with anyio.move_on_after(LOOK_S):
            await rung.wait()


async def _read_shown(db: Db, own: Assignment) -> Any:
    try:
        async with db.connection() as conn:
            return await read_assignment(conn, own.id), await read_place(conn, own.id)
    except UNREACHABLE:
        return None


ROUTES = [get_seat, post_seat, post_done, get_live]
