"""`/seat`: the person's own page, by the cookie of the browser that asked, or by email and PIN. No login."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
from litestar import Response, get, post
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from api.address import address_of
from api.cookie import cookie_header
from api.delivery import ends_soon, judge_delivery, list_warnings
from api.errors import TooManyError
from api.fields import read_fields
from api.followers import Followers, View
from api.in_force import DesiredInForce
from api.pages.engine import span
from api.pages.home import prove_own, read_own
from api.pages.people import show_seat
from api.pages.shell import AnyRequest, Wrong, say, show
from api.parts import AnyDb, TheBinder, TheDesired, TheDoor, TheFollowers, TheSettings
from schemas.assignment import AssignmentStatus
from store.assignment import find_assignment
from store.db import UNREACHABLE, transaction
from store.history import count_waiting
from store.tenancy import end_assignment, prolong_session

UNKNOWN = "no desktop is open for this email address and PIN; look at both again, or ask for a new desktop"
BREATH_S = 1.0


@get("/seat", media_type="text/html", include_in_schema=False)
async def get_seat(
    request: AnyRequest, settings: TheSettings, followers: TheFollowers, desired: TheDesired
) -> Template:
    """The seat of this browser, or the form that finds it."""
    own = prove_own(request, settings)
    view = await followers.look(own) if own else None
    if view is None:
        return show(request, "people/find.html", email="")
    return show_seat(request, view, extend=await _read_extend(desired, view.followed.assignment.pool))


async def _read_extend(desired: DesiredInForce, pool: str) -> timedelta | None:
    """By how much people of this pool may push the end of their session; None: not at all."""
    in_force = await desired.read()
    declared = in_force.lab.pools.get(pool) if in_force else None
    return declared.session.extend or None if declared else None


@post("/seat", status_code=200, include_in_schema=False)
async def post_seat(request: AnyRequest, db: AnyDb, door: TheDoor, settings: TheSettings) -> Response[Any]:
    """Email and PIN lead another browser to the seat: it gets the cookie, too."""
    fields = await read_fields(request, "`email` and `pin`")
    email, pin = fields["email"].lower(), fields["pin"]
    address = address_of(request, settings.trusted_proxies)
    try:
        door.check_guess(email, address)
    except TooManyError as error:
        page = show(request, "people/find.html", 429, email=fields["email"], error=Wrong(error.detail))
        page.headers |= error.headers or {}
        return page
    async with db.connection() as conn:
        found = await find_assignment(conn, email, pin)
    if found is None:
        return show(request, "people/find.html", 404, email=fields["email"], error=Wrong(UNKNOWN))
    door.forgive(email, address)
    secret = settings.deployment_secret.get_secret_value().encode()
    answer = say("/seat", "Here it is.")
    answer.headers |= cookie_header(secret, found.id, settings.secure)
    return answer


@post("/seat/done", status_code=200, include_in_schema=False)
async def post_done(request: AnyRequest, db: AnyDb, settings: TheSettings, binder: TheBinder) -> Response[Any]:
    """The person gives the desktop, or the place in line, back."""
    own = await read_own(request, db, settings)
    if own is None or own.status is AssignmentStatus.ENDED:
        return say("/seat", "There was nothing to give back any more.")
    async with transaction(db) as conn:
        await end_assignment(conn, own.id, "user", "given back by its user")
    await binder.bind(own.pool)
    return say("/seat", "Thank you. The next person gets a clean one.")


@post("/seat/extend", status_code=200, include_in_schema=False)
async def post_extend(request: AnyRequest, db: AnyDb, settings: TheSettings, desired: TheDesired) -> Response[Any]:
    """The person goes on a while longer, where that takes nothing from anybody."""
    own = await read_own(request, db, settings)
    by = await _read_extend(desired, own.pool) if own else None
    if own is None or own.status is not AssignmentStatus.ACTIVE or by is None:
        return say("/seat", "This session cannot be extended here; save your work.")
    async with transaction(db) as conn:
        extended = await prolong_session(conn, own.id, by)
        waiting = await count_waiting(conn)
    if extended:
        return say("/seat", f"You have {span(by.total_seconds())} more.")
    if waiting.get(own.pool):
        return say("/seat", "Somebody waits for a computer like yours, so your time is not extended; save your work.")
    return say("/seat", "There is time left: it can be extended in its last half hour.")


@get("/seat/live", include_in_schema=False)
async def get_live(request: AnyRequest, settings: TheSettings, followers: TheFollowers) -> ServerSentEvent:
    """Says `changed` whenever the page would show something else."""
    own = prove_own(request, settings)
    if own:
        followers.check(own)
    return ServerSentEvent(_follow(followers, own))


async def _follow(followers: Followers, own: UUID | None) -> AsyncIterator[ServerSentEventMessage]:
    told: Any = None
    while own and not followers.bell.closed:
        try:
            async for view in followers.follow(own):
                shown = (view.followed.assignment, view.followed.position, _minutes(view)) if view else None
                if shown != told:  # at first, too: something may have come between the page and its stream
                    yield ServerSentEventMessage(data="", event="changed")
                else:
                    yield ServerSentEventMessage(comment="quiet")
                told = shown
            if not followers.bell.closed:  # it has ended: the browser need not come back
                yield ServerSentEventMessage(data="", event="over")
            return
        except UNREACHABLE:
            await anyio.sleep(BREATH_S)


def _minutes(view: View) -> tuple[object, ...]:
    """What the page shows rounded."""
    one = view.followed
    return judge_delivery(one), ends_soon(one), *(list_warnings(one)), view.eta_s and view.eta_s // 60


ROUTES = [get_seat, post_seat, post_done, post_extend, get_live]
