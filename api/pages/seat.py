"""`/seat`: the person's own page, by the cookie of the browser that asked, or by email and PIN. No login."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import anyio
from litestar import Response, get, post
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from api.address import address_of
from api.cookie import make_cookie
from api.delivery import judge_delivery, list_warnings
from api.errors import TooManyError
from api.fields import read_fields
from api.followers import Followers, View
from api.pages.home import prove_own, read_own
from api.pages.people import show_seat
from api.pages.shell import AnyRequest, Wrong, say, show
from api.parts import AnyDb, TheBinder, TheDoor, TheFollowers, TheSettings
from schemas.assignment import AssignmentStatus
from store.assignment import find_assignment
from store.db import UNREACHABLE, transaction
from store.tenancy import end_assignment

UNKNOWN = "no desktop is open for this email address and PIN; look at both again, or ask for a new desktop"
BREATH_S = 1.0


@get("/seat", media_type="text/html", include_in_schema=False)
async def get_seat(request: AnyRequest, settings: TheSettings, followers: TheFollowers) -> Template:
    """The seat of this browser, or the form that finds it."""
    own = prove_own(request, settings)
    view = await followers.look(own) if own else None
    if view is None:
        return show(request, "people/find.html", email="")
    return show_seat(request, view)


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
    answer.set_cookie(make_cookie(secret, found.id, settings.secure))
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


@get("/seat/live", include_in_schema=False)
async def get_live(request: AnyRequest, settings: TheSettings, followers: TheFollowers) -> ServerSentEvent:
    """Says `changed` whenever the page would show something else."""
    return ServerSentEvent(_follow(followers, prove_own(request, settings)))


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
    return judge_delivery(view.followed), *(list_warnings(view.followed)), view.eta_s and view.eta_s // 60


ROUTES = [get_seat, post_seat, post_done, get_live]
