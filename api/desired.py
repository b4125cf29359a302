"""`/api/v1/desired`: the document in force, its versions, changes and roll-backs; and previews, which change nothing."""

from typing import Annotated, Any

import anyio
from litestar import Request, Response, get, post, put
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, HeaderParameter

from api.answers import DecisionShown, DesiredShown, Page, VersionMade
from api.errors import BadInputError
from api.openapi import answering_also, reading_text
from api.paging import Limit, NumberCursor, page
from api.parts import AnyDb, TheDesired, TheOutlook
from api.shown import show_version
from controller.decide.impact import total, weigh
from controller.decide.render import render_decision
from schemas.access import Scope
from schemas.document import Parsed, parse_lab
from schemas.version import Version
from store.assignment import RECONCILE
from store.db import Db, notify, transaction
from store.desired import Change, append_version, list_versions, read_newest, read_version

AnyRequest = Request[Any, Any, Any]
ORIGIN = "lablink.yaml"
IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description="The version that it was made from, as its `ETag` says it: 12."),
]


@get("/desired")
async def get_desired(request: AnyRequest, db: AnyDb) -> Response[DesiredShown]:
    """The version in force with its text; version 0 with an empty text before the first one.

    Access codes, the admin's hash and receivers' addresses are starred out for tokens below `admin`.
    """
    async with db.connection() as conn:
        newest = await read_newest(conn)
    if newest is None:
        body = DesiredShown(version=0, yaml="")
    else:
        body = DesiredShown(**dict(await anyio.to_thread.run_sync(show_version, request, newest)))
    return Response(body, headers={"ETag": f'"{body.version}"'})


WHOLE = reading_text("application/yaml", "The whole of lablink.yaml.")
MAYBE = answering_also(
    "text/plain",
    base=reading_text("application/yaml", "The whole of lablink.yaml; empty: the one in force.", required=False),
)


@put("/desired", operation_class=WHOLE, scope=Scope.ADMIN)
async def put_desired(request: AnyRequest, db: AnyDb, desired: TheDesired, if_match: IfMatch = None) -> VersionMade:
    """Put a YAML document in force. `If-Match` names the version that it was made from (0: none yet)."""
    based_on = read_match(if_match) or None
    parsed = await read_document(request)
    change = Change(parsed.text, parsed.lab, request.state.actor, "api")
    return await accept(db, desired, change, based_on)


async def accept(
    db: Db, desired: TheDesired, change: Change, based_on: int | None, *, adds: bool = False
) -> VersionMade:
    """A change becomes the version in force, and the controller is woken. Raises DesiredConflict."""
    async with transaction(db) as conn:
        version = await append_version(conn, change, based_on, adds=adds)
        await notify(conn, RECONCILE)
    desired.forget()
    return made_of(version)


def made_of(version: Version) -> VersionMade:
    return VersionMade(**version.model_dump(exclude={"yaml"}))


def read_match(header: str | None) -> int:
    """The version of an `If-Match` header; 0: nothing was in force."""
    number = (header or "").strip().removeprefix("W/").strip('"')
    if not number.isdecimal() or len(number) > 18:
        raise BadInputError("name the version that the document was made from in If-Match, such as If-Match: 3")
    return int(number)


async def read_document(request: AnyRequest) -> Parsed:
    """The YAML body, parsed in a worker thread: a large document must not hold up the waiting VMs."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError:
        raise BadInputError("the document is not UTF-8 text") from None
    return await anyio.to_thread.run_sync(parse_lab, text, ORIGIN)


@get("/desired/versions")
async def get_versions(db: AnyDb, after: NumberCursor = None, limit: Limit = 100) -> Page[VersionMade]:
    """Versions, newest first, without their texts."""
    async with db.connection() as conn:
        versions = await list_versions(conn, before=after, limit=limit)
    return page([made_of(version) for version in versions], limit, lambda version: version.version)


@get("/desired/versions/{number:int}")
async def get_version(request: AnyRequest, db: AnyDb, number: FromPath[int]) -> Version:
    """One version with its text, which is starred out as in `GET /desired`."""
    async with db.connection() as conn:
        version = await read_version(conn, number)
    return await anyio.to_thread.run_sync(show_version, request, version)


@post("/desired/rollback/{number:int}", status_code=200, scope=Scope.ADMIN)
async def post_rollback(request: AnyRequest, db: AnyDb, desired: TheDesired, number: FromPath[int]) -> VersionMade:
    """Make a new version out of an old text. The text is judged again: what may be declared can have changed."""
    async with db.connection() as conn:
        old = await read_version(conn, number)
        newest = await read_newest(conn)
    lab = parse_lab(old.yaml, ORIGIN).lab
    change = Change(old.yaml, lab, request.state.actor, "rollback")
    return await accept(db, desired, change, newest.version if newest else None)


DECIDED = {200: ResponseSpec(DecisionShown, description="What would be done, with the reasons.")}


@post("/preview", status_code=200, operation_class=MAYBE, responses=DECIDED, scope=Scope.READ)
async def post_preview(request: AnyRequest, outlook: TheOutlook) -> Response[DecisionShown] | Response[str]:
    """What a document (or, with an empty body, the one in force) would make happen: JSON, or text for `Accept: text/plain`."""
    parsed = await read_document(request) if await request.body() else None
    view = await outlook.look_ahead(parsed.lab if parsed else None)
    impacts, approval = weigh(view.snapshot, view.decision), view.snapshot.approval
    waits = approval is not None and approval.state == "waiting"
    summary = total(impacts).sentence + (", and growth waits for approval" if waits else "")
    rendered = f"{render_decision(view.decision)}\nin all: {summary}\n"
    if request.headers.get("accept", "").startswith("text/plain"):
        return Response(rendered, media_type="text/plain")
    by_pool = {name: impact.sentence for name, impact in impacts.items()}
    found = {"rendered": rendered, "summary": summary, "impact": by_pool, "needs_approval": waits}
    return Response(DecisionShown(**dict(view.decision), **found))


ROUTES = [get_desired, put_desired, get_versions, get_version, post_rollback, post_preview]
