"""`/admin/desired`: the document as text, judged while it is typed, previewed, put in force; its history and ways back.

The texts are for admins alone: they name access codes and receivers.
"""

from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Template

from api.desired import ORIGIN, accept
from api.errors import NotFoundError
from api.outlook import Outlook
from api.pages.desk import show_desk
from api.pages.forms import read_form
from api.pages.paging import Before, older
from api.pages.pool import preview_change
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheDesired, TheOutlook
from schemas.access import Scope
from schemas.document import diff_texts, parse_lab, text_hash
from schemas.problem import InvalidDocument, Problem
from schemas.version import Version
from store.assignment import RECONCILE
from store.db import Db, notify, transaction
from store.deployment import read_deployment, see_file
from store.desired import Change, DesiredConflict, InForce, list_versions, read_in_force, read_newest, read_version
from store.event import write_event

PAGE = 50
LONGEST = 1_000_000


@get("/admin/desired", media_type="text/html", include_in_schema=False, scope=Scope.ADMIN)
async def get_desired(request: AnyRequest, db: AnyDb) -> Template:
    """The editor over the version in force."""
    async with db.connection() as conn:
        newest = await read_newest(conn)
    return await _show(request, db, newest.yaml if newest else "", newest.version if newest else 0)


async def _show(
    request: AnyRequest, db: Db, text: str, based_on: int, *, typed: bool = False, status: int = 200, **context: Any
) -> Template:
    async with db.connection() as conn:
        newest = await read_newest(conn)
        deployment = await read_deployment(conn)
        versions = await list_versions(conn, limit=6)
    beside = deployment.file_text
    return show_desk(
        request,
        "admin/desired.html",
        status,
        **{"error": None, "checked": False, **context},
        text=text,
        typed=typed,
        based_on=based_on,
        newest=newest,
        versions=versions,
        beside=beside,
        beside_diff=diff_texts(newest.yaml, beside, (f"version {newest.version}", ORIGIN)) if newest and beside else "",
        theirs=await _read_theirs(db, newest, based_on),
        troubles=[one for one in deployment.conditions.values() if one.type.startswith("Desired") and not one.good],
    )


async def _read_theirs(db: Db, newest: Version | None, based_on: int) -> str:
    """What others changed since the version that the text was made from."""
    if newest is None or based_on in (0, newest.version):
        return ""
    async with db.connection() as conn:
        base = await read_version(conn, based_on)
    return diff_texts(base.yaml, newest.yaml, (f"version {based_on}", f"version {newest.version}"))


@post("/admin/desired/check", status_code=200, media_type="text/html", include_in_schema=False)
async def post_check(request: AnyRequest, db: AnyDb, outlook: TheOutlook) -> Template:
    """What is wrong with the text, or what it would do: the part of the page beside the editor, or without scripts the page."""
    form = await read_form(request)
    text = read_text(form.text("yaml"))
    async with db.connection() as conn:
        in_force = await read_in_force(conn)
    problems, preview = await _judge(outlook, in_force, text)
    if "hx-request" in request.headers:
        return show_desk(request, "admin/desired_check.html", problems=problems, preview=preview)
    based_on = form.number("based_on")
    return await _show(request, db, text, based_on, typed=True, checked=True, problems=problems, preview=preview)


async def _judge(
    outlook: Outlook, in_force: InForce | None, text: str
) -> tuple[tuple[Problem, ...], dict[str, Any] | None]:
    try:
        lab = (await to_thread.run_sync(parse_lab, text, ORIGIN)).lab
    except InvalidDocument as error:
        return error.problems, None
    return (), await preview_change(outlook, in_force, text, lab) if in_force else None


def read_text(sent: str) -> str:
    """Browsers send CRLF whatever the document had; what was written here has LF."""
    return sent[:LONGEST].replace("\r\n", "\n")


@post("/admin/desired", status_code=200, include_in_schema=False)
async def post_desired(request: AnyRequest, db: AnyDb, desired: TheDesired) -> Response[Any]:
    """Put the text in force, if it is valid and was made from the version that still is."""
    form = await read_form(request)
    text, based_on = read_text(form.text("yaml")), form.number("based_on")
    try:
        lab = (await to_thread.run_sync(parse_lab, text, ORIGIN)).lab
        version = dict(await accept(db, desired, Change(text, lab, request.state.actor, "ui"), based_on or None))
    except InvalidDocument as refused:
        places = "; ".join(f"line {one.line}: {one.field} {one.message}" for one in refused.problems[:5])
        error = Wrong(f"nothing was changed: {places}")
        return await _show(request, db, text, based_on, typed=True, status=400, error=error)
    except DesiredConflict:
        error = Wrong("somebody else changed the desired state meanwhile; your text is kept below")
        return await _show(request, db, text, based_on, typed=True, status=409, error=error)
    return say("/admin/desired", f"Version {version['version']} is in force.")


@get("/admin/desired/versions", media_type="text/html", include_in_schema=False)
async def get_versions(request: AnyRequest, db: AnyDb, before: Before = None) -> Template:
    """All versions with their authors, newest first."""
    async with db.connection() as conn:
        versions = await list_versions(conn, before=before, limit=PAGE)
    return show_desk(request, "admin/versions.html", versions=versions, older=older(versions, PAGE, "version"))


@get("/admin/desired/versions/{number:int}", media_type="text/html", include_in_schema=False, scope=Scope.ADMIN)
async def get_version(request: AnyRequest, db: AnyDb, outlook: TheOutlook, number: FromPath[int]) -> Template:
    """One version: what it changed, and what going back to it would do."""
    async with db.connection() as conn:
        version = await read_version(conn, number)
        earlier = await list_versions(conn, before=number, limit=1)
        in_force = await read_in_force(conn)
    is_old = in_force is not None and in_force.version != number
    problems, preview = await _judge(outlook, in_force, version.yaml) if is_old else ((), None)
    names = (f"version {earlier[0].version}" if earlier else "nothing", f"version {number}")
    return show_desk(
        request,
        "admin/version.html",
        version=version,
        changed=diff_texts(earlier[0].yaml if earlier else "", version.yaml, names),
        in_force=in_force.version if in_force else 0,
        problems=problems,
        preview=preview,
    )


@post("/admin/desired/versions/{number:int}", status_code=200, include_in_schema=False)
async def post_rollback(request: AnyRequest, db: AnyDb, desired: TheDesired, number: FromPath[int]) -> Response[Any]:
    """A new version out of an old text."""
    based_on = (await read_form(request)).number("based_on")
    async with db.connection() as conn:
        old = await read_version(conn, number)
    lab = (await to_thread.run_sync(parse_lab, old.yaml, ORIGIN)).lab
    version = dict(await accept(db, desired, Change(old.yaml, lab, request.state.actor, "rollback"), based_on))
    return say("/admin/desired", f"Version {version['version']} is in force, with the text of version {number}.")


@post("/admin/desired/file", status_code=200, include_in_schema=False)
async def post_file(request: AnyRequest, db: AnyDb, desired: TheDesired) -> Response[Any]:
    """The file and the record both changed: `take=file` puts the file's text in force, `take=record` has it written over."""
    take = (await read_form(request)).text("take")
    async with db.connection() as conn:
        deployment, newest = await read_deployment(conn), await read_newest(conn)
    if not deployment.file_text or newest is None:
        raise NotFoundError("file and record are not in conflict any more")
    if take == "file":
        lab = (await to_thread.run_sync(parse_lab, deployment.file_text, ORIGIN)).lab
        change = Change(deployment.file_text, lab, request.state.actor, "ui")
        version = dict(await accept(db, desired, change, newest.version))
        return say("/admin/desired", f"Version {version['version']} is in force, with the file's text.")
    async with transaction(db) as conn:
        # As if the file had been seen when it was equal to an older version: the controller then brings it up to date.
        await see_file(conn, text_hash(deployment.file_text), deployment.file_version)
        sentence = f"{ORIGIN} was edited, and is written over by version {newest.version}"
        await write_event(conn, request.state.actor, "desired", "FileDiscarded", sentence)
        await notify(conn, RECONCILE)
    return say("/admin/desired", f"Version {newest.version} stays in force, and the file follows it.")


ROUTES = [get_desired, post_check, post_desired, get_versions, get_version, post_rollback, post_file]
