"""`GET /`: the request form, and `GET /live`: how many VMs are free, as it changes. No login."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import anyio
from litestar import get
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from api.cookie import NAME, read_cookie
from api.pages.free import FRESH_S, FreeCount
from api.pages.people import show_form
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired, TheFeed, TheFree, TheSettings
from api.signal import Signal
from schemas.assignment import Assignment, AssignmentStatus
from schemas.settings import Settings
from store.assignment import read_assignment
from store.db import UNREACHABLE, Db

QUIET_S = 15.0


@get("/", media_type="text/html", include_in_schema=False)
async def get_home(request: AnyRequest, db: AnyDb, desired: TheDesired, settings: TheSettings) -> Template:
    """The request form."""
    in_force = await desired.read()
    own = await read_own(request, db, settings)
    own = None if own is None or own.status is AssignmentStatus.ENDED else own
    return await show_form(request, db, in_force.lab if in_force else None, own=own)


async def read_own(request: AnyRequest, db: Db, settings: Settings) -> Assignment | None:
    """The assignment that this browser's cookie proves."""
    proven = prove_own(request, settings)
    if proven is None:
        return None
    async with db.connection() as conn:
        return await read_assignment(conn, proven)


def prove_own(request: AnyRequest, settings: Settings) -> UUID | None:
    """The id that this browser's cookie proves."""
    return read_cookie(settings.deployment_secret.get_secret_value().encode(), request.cookies.get(NAME))


@get("/live", include_in_schema=False)
async def get_live(request: AnyRequest, feed: TheFeed, free: TheFree) -> ServerSentEvent:
    """The number of free VMs as a sentence, whenever it changes."""
    engine: Any = request.app.template_engine
    return ServerSentEvent(_follow(engine.get_template("people/free.html"), feed, free))


async def _follow(template: Any, feed: Signal, free: FreeCount) -> AsyncIterator[ServerSentEventMessage]:
    told: int | None = None
    while not feed.closed:
        rung = feed.mark()
        try:
            now = await free.read()
        except UNREACHABLE:
            now = told or 0
        if now != told:
            told = now
            yield ServerSentEventMessage(data=template.render(free=now), event="free")
        else:
            yield ServerSentEventMessage(comment="quiet")
        await anyio.sleep(FRESH_S)
        with anyio.move_on_after(QUIET_S):
            await rung.wait()


ROUTES = [get_home, get_live]
