"""`POST /api/request_vm`: a person asks for a VM and gets it, or a place in line. HTML for people, JSON for programs."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import MediaType, Request, Response, post
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.response import Template
from pydantic import BaseModel, ConfigDict, Field

from api.address import address_of
from api.claim import check_claim, read_asked
from api.cookie import NAME, cookie_header, read_cookie
from api.desk import Desk
from api.door import Door, take_as_wish
from api.entry import Arrival, admit
from api.errors import LATER, ConflictError, NotNowError, TooManyError, answer_http
from api.followers import View
from api.openapi import ForPeopleToo, reading
from api.pages.people import show_form, show_seat
from api.pages.shell import Wrong
from api.parts import TheReception
from api.reception import Reception
from schemas.assignment import Assignment, AssignmentStatus
from schemas.frozen import Frozen
from store.assignment import Claim, read_other_pool
from store.db import Db

AnyRequest = Request[Any, Any, Any]
KNOWN = "this email address has asked for a VM already; send the PIN that you were shown then, or use the same browser"
IN_LINE = "no VM is free right now; you are in line, ask again in a moment"


class Seated(Frozen):
    """The VM, and the PIN to type when Chrome Remote Desktop asks for one."""

    hostname: str
    pin: Annotated[str, Field(examples=["482915"])]
    status: Literal["assigned"] = "assigned"


class Place(BaseModel):
    """A place in line, or a VM that is held until a fresh command comes. The sentence stands alone while the database is away."""

    model_config = ConfigDict(extra="forbid")

    error: Annotated[str, Field(examples=[IN_LINE])]
    status: Literal["waiting", "offered"] | None = None
    assignment: UUID | None = None
    position: int | None = None
    eta_s: int | None = None
    offer_s: int | None = None
    pin: str | None = None


ANSWERS = {
    200: ResponseSpec(Seated, description="A VM is the person's."),
    503: ResponseSpec(Place, description="None is free: the request waits; ask again after `Retry-After` seconds."),
}
REQUEST = reading(
    ForPeopleToo,
    email=Schema(type=OpenAPIType.STRING, examples=["ada@example.org"]),
    crd_command=Schema(type=OpenAPIType.STRING, description="Chrome Remote Desktop's command for Linux."),
    pin=Schema(type=OpenAPIType.STRING, default="", description="Six digits or more; left out: one is drawn."),
    pool=Schema(type=OpenAPIType.STRING, default="", description="Left out: any."),
    access_code=Schema(
        type=OpenAPIType.STRING, default="", description="What the pool, or a course in it, asks for, if it does."
    ),
)


@post("/api/request_vm", status_code=200, operation_class=REQUEST, responses=ANSWERS)
async def post_request(request: AnyRequest, reception: TheReception) -> Response[Any] | Template:
    """A VM for an email address: at once, or after those who asked before."""
    in_force = await reception.desired.read()
    asked = None
    address = address_of(request, reception.settings.trusted_proxies)
    try:
        reception.door.enter(address)
        asked = await read_asked(request)
        if in_force is None:
            raise NotNowError("nothing is declared here yet; try again when LabLink is set up")
        claim = check_claim(asked, in_force.lab, read_cookie(reception.secret, request.cookies.get(NAME)))
        arrival = Arrival(asked.access_code, address, datetime.now(UTC))
        claim = await admit(reception.db, reception.door, in_force.lab, claim, arrival)
        assignment = await ask(reception.desk, reception.door, claim, address)
        if assignment is None:
            raise await refuse(reception.db, claim)
    except HTTPException as error:
        if wants_json(request):
            return answer_http(request, error)
        lab = in_force.lab if in_force else None
        return await show_form(request, reception.db, lab, asked=asked, error=explain(error), status=error.status_code)
    if assignment.status is AssignmentStatus.ACTIVE and wants_json(request):
        return answer_json(reception, assignment, None)  # what a storm asks for costs no further look
    view = await reception.followers.look(assignment.id)
    if view is None or wants_json(request):
        return answer_json(reception, assignment, view)
    return answer_page(request, reception, view)


async def ask(desk: Desk, door: Door, claim: Claim, address: str) -> Assignment | None:
    """Takes the place at the desk. Where too many PINs were wrong, a PIN proves nothing; for a first request it is a wish still."""
    if claim.pin is None:
        return await desk.ask(claim)
    try:
        door.check_guess(claim.email, address)
    except TooManyError:
        assignment = await desk.ask(take_as_wish(claim))
        if assignment is None:
            raise
        return assignment
    assignment = await desk.ask(claim)
    if assignment is not None:
        door.forgive(claim.email, address)
    return assignment


def explain(error: HTTPException) -> Wrong:
    """The error as the form shows it."""
    field = error.extra.get("field", "") if isinstance(error.extra, dict) else ""
    return Wrong(error.detail, field, find=error.detail == KNOWN)


def wants_json(request: AnyRequest) -> bool:
    """Programs say so; browsers send text/html first; a bare client that sent JSON reads JSON."""
    accept = request.headers.get("accept", "*/*")
    if "text/html" in accept:
        return False
    return "json" in accept or "json" in request.headers.get("content-type", "")


def answer_json(reception: Reception, assignment: Assignment, view: View | None) -> Response[Any]:
    """The seat, the offer or the place in line; either way the cookie that leads back to it."""
    status, headers, body = 200, seat_header(reception, assignment), b""
    if view is None or view.followed.assignment.status is AssignmentStatus.ACTIVE:
        assignment = view.followed.assignment if view else assignment
        body = Seated(hostname=assignment.hostname or "", pin=assignment.pin).model_dump_json().encode()
    else:
        status, headers, body = 503, headers | LATER, describe_place(view).model_dump_json().encode()
    # As bytes: Litestar would serialise a model field by field, and a class asks at once.
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)


def answer_page(request: AnyRequest, reception: Reception, view: View) -> Template:
    """The same for people."""
    seated = view.followed.assignment.status is AssignmentStatus.ACTIVE
    page = show_seat(request, view, status=200 if seated else 503)
    page.headers |= seat_header(reception, view.followed.assignment) | ({} if seated else LATER)
    return page


def seat_header(reception: Reception, assignment: Assignment) -> dict[str, str]:
    return cookie_header(reception.secret, assignment.id, reception.settings.secure)


def describe_place(view: View) -> Place:
    """The body of a 503 that means "wait", or "a VM is held for you, send a fresh command"."""
    assignment = view.followed.assignment
    error = IN_LINE
    if assignment.status is AssignmentStatus.OFFERED:
        error = "a VM is held for you; get a fresh command from Chrome Remote Desktop and send it"
    return Place(
        error=error,
        status="offered" if assignment.status is AssignmentStatus.OFFERED else "waiting",
        assignment=assignment.id,
        position=view.followed.position,
        eta_s=view.eta_s,
        offer_s=view.followed.offer_s,
        pin=assignment.pin,
    )


async def refuse(db: Db, claim: Claim) -> ConflictError:
    """Why nothing was changed; names another pool to nobody but the person."""
    async with db.connection() as conn:
        other = await read_other_pool(conn, claim)
    if other is None:
        return ConflictError(KNOWN)
    return ConflictError(f"you have a place in pool {other} already; give that one up before you ask for another")


ROUTES = [post_request]
