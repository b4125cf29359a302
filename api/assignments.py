"""`/api/v1/assignments`: admins list, make and extend them; whoever holds the id follows one, and its person may end it.

The id is a 128-bit capability: its holder learns how it stands and never an email or a PIN.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from hmac import compare_digest
from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, post
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage
from pydantic import BaseModel, ConfigDict

from api.address import address_of
from api.admins import ask_for_login, identify_for
from api.answers import Page
from api.claim import Asked, check_email, check_pin
from api.cookie import NAME as SEAT
from api.cookie import read_cookie
from api.crd import draw_pin, find_code
from api.delivery import Delivery, judge_delivery, list_warnings
from api.door import Door
from api.errors import BadInputError, ConflictError, NotFoundError
from api.fields import read_fields
from api.followers import Followers, View
from api.openapi import EVENTS, answering_also, reading
from api.paging import Limit, NumberCursor, page
from api.parts import AnyDb, TheBinder, TheDesired, TheDoor, TheFollowers, TheSettings
from schemas.access import Scope
from schemas.assignment import Assignment, AssignmentFacts, AssignmentStatus
from schemas.frozen import Frozen
from schemas.lab import Lab
from schemas.settings import Settings
from schemas.values import PositiveDuration
from store.assignment import read_assignment
from store.db import transaction
from store.tenancy import LONGEST_AHEAD, Grant, NotFree, end_assignment, extend_session, grant, list_assignments

AnyRequest = Request[Any, Any, Any]
NOT_OWN = "only its person may end it: send its PIN, or use the browser that asked; or an admin does"
NO_SUCH = "there is no such assignment; it may have been mistyped"
QUIET_S = 15.0  # proxies keep a stream in which something moves this often


class Wish(BaseModel):
    """Body of `POST /api/v1/assignments`. Without a command the VM is held until the person sends one with the PIN."""

    model_config = ConfigDict(extra="forbid")

    email: str
    pool: str = ""
    hostname: str = ""
    crd_command: str = ""
    pin: str = ""


class Longer(BaseModel):
    """Body of `POST /api/v1/assignments/{id}/extend`: `{"by": "30m"}`."""

    model_config = ConfigDict(extra="forbid")

    by: PositiveDuration


class Granted(AssignmentFacts):
    """An admin's assignment, with the PIN to tell the person."""

    pin: str


class AssignmentView(Frozen):
    """What the holder of the id may know. `position` and `eta_s` while waiting; `command_wanted`: send a fresh command."""

    id: UUID
    pool: str
    status: AssignmentStatus
    hostname: str | None
    created_at: datetime
    bound_at: datetime | None
    offered_until: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    position: int | None
    eta_s: int | None
    delivery: Delivery | None
    command_wanted: bool
    warnings: list[str]


ROW = AssignmentFacts.model_fields.keys()


class Ended(Frozen):
    """Answer of `DELETE`."""

    status: AssignmentStatus
    message: str


@get("/assignments")
async def get_assignments(
    db: AnyDb,
    *,
    pool: FromQuery[str | None] = None,
    status: FromQuery[AssignmentStatus | None] = None,
    after: NumberCursor = None,
    limit: Limit = 100,
) -> Page[AssignmentFacts]:
    """Assignments, newest first; without codes and PINs."""
    async with db.connection() as conn:
        found = await list_assignments(conn, pool=pool, status=status, before=after, limit=limit)
    return page([keep_facts(one) for one in found], limit, lambda one: one.seq)


def keep_facts(assignment: Assignment) -> AssignmentFacts:
    """Without its secrets."""
    return AssignmentFacts.model_construct(**{name: getattr(assignment, name) for name in AssignmentFacts.model_fields})


@post("/assignments", status_code=200, scope=Scope.OPERATE)
async def post_assignment(
    request: AnyRequest, data: JSONBody[Wish], db: AnyDb, desired: TheDesired, binder: TheBinder
) -> Granted:
    """Give somebody a VM, a certain one or the next free one of a pool. The answer has the PIN to tell the person."""
    in_force = await desired.read()
    wish = check_wish(data, in_force.lab if in_force else Lab(pools={}))
    try:
        async with transaction(db) as conn:
            made = await grant(conn, wish, request.state.actor)
    except NotFree as error:
        raise ConflictError(str(error)) from None
    if made is None:
        raise ConflictError(f"{wish.email} has an open assignment already; end that one first")
    await binder.bind(made.pool)
    async with db.connection() as conn:
        made = await read_assignment(conn, made.id) or made
    return Granted(**dict(keep_facts(made)), pin=made.pin)


def check_wish(wish: Wish, lab: Lab) -> Grant:
    """Raises BadInputError with what is wrong."""
    asked = Asked(wish.email.strip().lower(), wish.crd_command.strip(), wish.pin.strip(), wish.pool.strip())
    check_email(asked.email)
    check_pin(asked.pin)
    code = find_code(asked.command) if asked.command else None
    if asked.command and code is None:
        raise BadInputError("the command has no well-formed --code=; leave it out, and the person sends one later")
    if asked.pool not in lab.pools and (asked.pool or len(lab.pools) != 1):
        raise BadInputError(f"name one of the pools: {', '.join(lab.pools) or 'none is declared'}")
    pool = asked.pool or next(iter(lab.pools))
    return Grant(pool, asked.email, asked.pin or draw_pin(), code, wish.hostname.strip() or None)


@post("/assignments/{assignment:uuid}/extend", status_code=200, scope=Scope.OPERATE)
async def post_extend(
    request: AnyRequest, data: JSONBody[Longer], db: AnyDb, assignment: FromPath[UUID]
) -> AssignmentFacts:
    """Let a session end later."""
    async with transaction(db) as conn:
        extended = await extend_session(conn, assignment, data.by, request.state.actor)
        known = await read_assignment(conn, assignment)
    if extended:
        return keep_facts(extended)
    if known is None:
        raise NotFoundError(NO_SUCH)
    if known.status is not AssignmentStatus.ACTIVE:
        raise ConflictError(f"it is {known.status}, not active: there is no session to extend")
    if known.ends_at is None:
        raise ConflictError("its session has no deadline: there is nothing to extend")
    raise BadInputError(f"a session may end {LONGEST_AHEAD.days} days from now at the latest; extend it by less")


STANDS = {200: ResponseSpec(AssignmentView, description="How it stands now, or at each change.")}


@get("/api/v1/assignments/{assignment:uuid}", operation_class=answering_also(EVENTS), responses=STANDS)
async def get_assignment(
    request: AnyRequest, followers: TheFollowers, assignment: FromPath[UUID]
) -> Response[AssignmentView] | ServerSentEvent:
    """How it stands; with `Accept: text/event-stream` again at each change, until it has ended. No login, at most 20 streams of one."""
    view = await followers.look(assignment)
    if view is None:
        raise NotFoundError(NO_SUCH)
    if "text/event-stream" in request.headers.get("accept", ""):
        followers.check(assignment)
        return ServerSentEvent(_follow(followers, assignment), headers={"X-Accel-Buffering": "no"})
    return Response(describe_view(view), headers={"Cache-Control": "no-store"})


def describe_view(view: View) -> AssignmentView:
    one = view.followed
    offered = one.assignment.status is AssignmentStatus.OFFERED
    return AssignmentView(
        **{name: getattr(one.assignment, name) for name in AssignmentView.model_fields.keys() & ROW},
        position=one.position,
        eta_s=view.eta_s,
        delivery=judge_delivery(one),
        command_wanted=offered or one.assignment.lapsed,
        warnings=list_warnings(one),
    )


async def _follow(followers: Followers, assignment: UUID) -> AsyncIterator[ServerSentEventMessage]:
    """An event at each change, and at the latest every `QUIET_S` one with the newest estimate."""
    loop, told, told_at = asyncio.get_running_loop(), None, 0.0
    async for view in followers.follow(assignment):
        if view is None:
            return
        quiet = loop.time() - told_at > QUIET_S
        body = describe_view(view)
        if quiet or body.model_copy(update={"eta_s": None}) != told:
            told, told_at = body.model_copy(update={"eta_s": None}), loop.time()
            yield ServerSentEventMessage(data=body.model_dump_json(), event="assignment")


OWN = reading(pin=Schema(type=OpenAPIType.STRING, default="", description="Of the seat, where no cookie proves it."))


@delete("/api/v1/assignments/{assignment:uuid}", status_code=200, operation_class=OWN, raises=[NotAuthorizedException])
async def delete_assignment(
    request: AnyRequest, db: AnyDb, door: TheDoor, settings: TheSettings, binder: TheBinder, assignment: FromPath[UUID]
) -> Ended:
    """ "I am done": the place in line is given up, or the VM is given back. Harmless again.

    For its person, by the cookie of the browser that asked or by the PIN; for admins and tokens that may operate. The id alone is
    not enough: whoever reads the list knows it.
    """
    pin = (await read_fields(request, "`pin`"))["pin"]
    async with db.connection() as conn:
        own = await read_assignment(conn, assignment)
    if own is None:
        raise NotFoundError(NO_SUCH)
    actor = await _prove(request, door, settings, own, pin)
    async with transaction(db) as conn:
        pool = await end_assignment(conn, assignment, actor, "given back")
    if pool:
        await binder.bind(pool)
    return Ended(status=AssignmentStatus.ENDED, message="it has ended")


async def _prove(request: AnyRequest, door: Door, settings: Settings, own: Assignment, pin: str) -> str:
    """Who ends it, as events name it. Raises 401, 403, or TooManyError where too many PINs were wrong."""
    identity = await identify_for(request, Scope.OPERATE)
    if identity:
        return identity.actor
    if "authorization" in request.headers:
        raise ask_for_login(request)
    secret = settings.deployment_secret.get_secret_value().encode()
    if read_cookie(secret, request.cookies.get(SEAT)) == own.id:
        return "user"
    address = address_of(request, settings.trusted_proxies)
    if pin:
        door.check_guess(own.email, address)
    if not compare_digest(pin.encode(), own.pin.encode()):
        raise PermissionDeniedException(NOT_OWN)
    door.forgive(own.email, address)
    return "user"


ROUTES = [get_assignments, post_assignment, post_extend]
HOLDERS_ROUTES = [get_assignment, delete_assignment]
