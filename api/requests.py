"""`POST /api/request_vm`: a person asks for a VM and gets it, or a place in line. HTML for people, JSON for programs."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.exceptions import HTTPException
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.response import Template

from api.binder import Binder
from api.claim import check_claim, read_asked
from api.cookie import NAME, make_cookie, read_cookie
from api.errors import LATER, ConflictError, NotNowError, answer_http
from api.openapi import ForPeopleToo, reading
from api.pages.people import show_form, show_seat
from api.pages.shell import Wrong
from api.parts import AnyDb, TheBinder, TheDesired, TheSettings
from schemas.assignment import Assignment
from schemas.lab import Lab
from schemas.settings import Settings
from store.assignment import (
    RECONCILE,
    Claim,
    Place,
    is_seated,
    read_assignment,
    read_other_pool,
    read_place,
    request_seat,
)
from store.db import Connection, Db, notify, transaction
from store.seat import read_longest_free

AnyRequest = Request[Any, Any, Any]
KNOWN = "this email address has asked for a VM already; send the PIN that you were shown then, or use the same browser"


REQUEST = reading(
    ForPeopleToo,
    email=Schema(type=OpenAPIType.STRING, examples=["ada@example.org"]),
    crd_command=Schema(type=OpenAPIType.STRING, description="Chrome Remote Desktop's command for Linux."),
    pin=Schema(type=OpenAPIType.STRING, default="", description="Six digits or more; left out: one is drawn."),
    pool=Schema(type=OpenAPIType.STRING, default="", description="Left out: any."),
    access_code=Schema(type=OpenAPIType.STRING, default="", description="What the pool asks for, if it does."),
)


@post("/api/request_vm", status_code=200, operation_class=REQUEST)
async def post_request(
    request: AnyRequest, db: AnyDb, desired: TheDesired, binder: TheBinder, settings: TheSettings
) -> Response[Any] | Template:
    """A VM for an email address: at once, or after those who asked before."""
    in_force = await desired.read()
    asked = None
    try:
        asked = await read_asked(request)
        if in_force is None:
            raise NotNowError("nothing is declared here yet; try again when LabLink is set up")
        secret = settings.deployment_secret.get_secret_value().encode()
        claim = check_claim(asked, in_force.lab, read_cookie(secret, request.cookies.get(NAME)))
        assignment = await take_seat(db, binder, await choose_pool(db, in_force.lab, claim))
    except HTTPException as error:
        if wants_json(request):
            return answer_http(request, error)
        lab = in_force.lab if in_force else None
        return await show_form(request, db, lab, asked=asked, error=explain(error), status=error.status_code)
    return await answer_assignment(request, db, settings, assignment)


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


async def choose_pool(db: Db, lab: Lab, claim: Claim) -> Claim:
    """Who names no pool is content with any: the one where a VM has been free for longest."""
    if claim.named or len(lab.pools) == 1:
        return claim
    async with db.connection() as conn:
        return replace(claim, pool=await read_longest_free(conn, list(lab.pools)) or claim.pool)


async def take_seat(db: Db, binder: Binder, claim: Claim) -> Assignment:
    """T1, then T2, then what came of it. Raises ConflictError when the email has a seat that the claim does not prove."""
    async with transaction(db) as conn:
        assignment = await request_seat(conn, claim)
        if assignment is None:
            raise await _refuse(conn, claim)
    if not is_seated(assignment):
        await binder.bind(assignment.pool)
        async with db.connection() as conn:
            assignment = await read_assignment(conn, assignment.id) or assignment
            if not is_seated(assignment):
                await notify(conn, RECONCILE, assignment.pool)
    return assignment


async def answer_assignment(
    request: AnyRequest, db: Db, settings: Settings, assignment: Assignment
) -> Response[Any] | Template:
    """The seat or the place in line; either way the cookie that leads back to it."""
    secret = settings.deployment_secret.get_secret_value().encode()
    cookie = make_cookie(secret, assignment.id, settings.secure)
    status, headers = (200, {}) if is_seated(assignment) else (503, LATER)
    if not wants_json(request):
        page = await show_seat(request, db, assignment, status=status)
        page.headers |= headers
        page.cookies = [*page.cookies, cookie]
        return page
    if is_seated(assignment):
        body: dict[str, Any] = {"hostname": assignment.hostname, "pin": assignment.pin, "status": "assigned"}
    else:
        async with db.connection() as conn:
            body = describe_place(assignment.id, assignment.pin, await read_place(conn, assignment.id))
    return Response(body, status_code=status, headers=headers, cookies=[cookie])


def describe_place(assignment: UUID, pin: str, place: Place | None) -> dict[str, Any]:
    """The body of a 503 that means "wait"."""
    return {
        "error": "no VM is free right now; you are in line, ask again in a moment",
        "status": "waiting",
        "assignment": str(assignment),
        "position": place.position if place else 1,
        "eta_s": place.eta_s if place else None,
        "pin": pin,
    }


async def _refuse(conn: Connection, claim: Claim) -> ConflictError:
    other = await read_other_pool(conn, claim)
    if other is None:
        return ConflictError(KNOWN)
    return ConflictError(f"you have a place in pool {other} already; give that one up before you ask for another")


ROUTES = [post_request]
