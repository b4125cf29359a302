"""`POST /api/launch` and `POST /destroy`, as the old system's scripts and forms call them: each makes a new version of the document."""

from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, post
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.response import Template

from api.admins import in_scope
from api.answers import Message
from api.edits import edit_in_force, raise_size
from api.errors import BadInputError, ConflictError
from api.fields import read_values
from api.in_force import DesiredInForce
from api.openapi import ForPeopleToo, reading
from api.pages.desk import show_desk
from api.parts import AnyDb, TheDesired
from api.requests import wants_json
from schemas.access import Scope
from schemas.lab import Lab
from store.clearing import clear_pool
from store.db import transaction

AnyRequest = Request[Any, Any, Any]
MOST = 1000
REASON = "an admin ended all VMs of the pool"


LAUNCH = reading(
    ForPeopleToo,
    num_vms=Schema(one_of=[Schema(type=OpenAPIType.INTEGER), Schema(type=OpenAPIType.STRING)], examples=[2]),
    pool=Schema(type=OpenAPIType.STRING, default="", description="Left out: the only one."),
    instance_type=Schema(type=OpenAPIType.STRING, default="", description="Chooses the pool that has it first."),
)
DESTROY = reading(
    ForPeopleToo,
    pool=Schema(type=OpenAPIType.STRING, default="", description="Left out: all. Several with commas between them."),
    confirm=Schema(type=OpenAPIType.STRING, default="", description="The same names again; browsers have to."),
)


class Launched(Message):
    """VMs were added to the declared size of a pool."""

    pool: str
    version: int


class Destroyed(Message):
    """Nothing is declared for these pools any more. `ended`: how many assignments that ended."""

    pools: list[str]
    ended: int
    version: int


LAUNCHED = {200: ResponseSpec(Launched, description="The version of the document that says so.")}
DESTROYED = {200: ResponseSpec(Destroyed, description="The version of the document that says so.")}


@post(
    "/api/launch",
    guards=[in_scope],
    status_code=200,
    operation_class=LAUNCH,
    responses=LAUNCHED,
    scope=Scope.OPERATE,
)
async def post_launch(request: AnyRequest, db: AnyDb, desired: TheDesired) -> Response[Any] | Template:
    """Add VMs to the declared size of a pool; of the only one, or of the one with this first type, when none is named."""
    fields = await read_values(request, "`num_vms` and perhaps `pool`")
    number = _read_number(fields)
    pool = _choose_pool(fields, await _read_lab(desired))
    version = await edit_in_force(db, desired, raise_size(pool, number), request.state.actor, _read_based_on(fields))
    message = f"{number} more VMs are declared for pool {pool}"
    return _answer(request, Launched(message=message, pool=pool, version=version.version), [pool])


def _read_number(fields: Mapping[str, Any]) -> int:
    sent = fields.get("num_vms", fields.get("num_instances"))
    text = str(sent).strip() if isinstance(sent, str | int) and not isinstance(sent, bool) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > 4 or not 0 < int(text) <= MOST:
        raise BadInputError(f"send how many VMs to add as `num_vms`, a number from 1 to {MOST}")
    return int(text)


def _read_based_on(fields: Mapping[str, Any]) -> int | None:
    """The version that our own form was shown with, so that sending it twice adds once. Scripts name none."""
    text = str(fields.get("based_on") or "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None


def _choose_pool(fields: Mapping[str, Any], lab: Lab) -> str:
    named, first_type = fields.get("pool"), fields.get("instance_type")
    if named:
        found = [name for name in lab.pools if name == named]
    elif first_type:
        found = [name for name, pool in lab.pools.items() if pool.instance_type[0] == first_type]
    else:
        found = list(lab.pools)
    if len(found) != 1:
        raise BadInputError(f"name the pool in `pool`; there are {', '.join(lab.pools) or 'none yet'}")
    return found[0]


@post(
    "/destroy",
    guards=[in_scope],
    status_code=200,
    operation_class=DESTROY,
    responses=DESTROYED,
    scope=Scope.OPERATE,
)
async def post_destroy(request: AnyRequest, db: AnyDb, desired: TheDesired) -> Response[Any] | Template:
    """Declare size 0 and end the assignments: of the pools that are named, else of all. A browser has to `confirm` them by name."""
    fields = await read_values(request, "`pool` and `confirm`")
    lab = await _read_lab(desired)
    pools = _read_names(fields, "pool") or list(lab.pools)
    if strange := sorted(set(pools) - lab.pools.keys()):
        raise BadInputError(f"there is no pool {', '.join(strange)}; there are {', '.join(lab.pools) or 'none yet'}")
    if _is_browser(request) and set(_read_names(fields, "confirm")) != set(pools):
        names = ", ".join(pools)
        raise ConflictError(f"this ends every VM of {names}, used or not: type {names} to confirm it; nothing was done")
    zero = {f"pools.{pool}.size": 0 for pool in pools}
    version = await edit_in_force(db, desired, lambda _: zero, request.state.actor)
    ended = 0
    for pool in sorted(pools):
        async with transaction(db) as conn:
            ended += await clear_pool(conn, pool, request.state.actor, REASON)
    message = f"all VMs of {', '.join(pools) or 'no pool'} are ending"
    return _answer(request, Destroyed(message=message, pools=pools, ended=ended, version=version.version), pools)


def _read_names(fields: Mapping[str, Any], field: str) -> list[str]:
    """One name, several with commas between them, or a list in JSON."""
    sent = fields.get(field) or ""
    names = sent if isinstance(sent, list) else str(sent).split(",")
    return list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))


def _is_browser(request: AnyRequest) -> bool:
    """Whether a person in a browser asks: with a session, or with a Basic login that the browser sends by itself."""
    return request.state.browsing or "sec-fetch-site" in request.headers


async def _read_lab(desired: DesiredInForce) -> Lab:
    in_force = await desired.read()
    if in_force is None:
        raise BadInputError("no document is in force yet, so there is no pool; put one in force with `lablink apply`")
    return in_force.lab


def _answer(request: AnyRequest, body: Launched | Destroyed, pools: list[str]) -> Response[Any] | Template:
    if wants_json(request):
        return Response(body)
    return show_desk(request, "admin/done.html", message=body.message, version=body.version, pools=pools)


ROUTES = [post_launch, post_destroy]
