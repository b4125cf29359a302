"""`/admin/events`, who did what to whom and why; `/admin/assignments`, who has or had which VM, and who waits."""

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from api.pages.desk import show_desk
from api.pages.forms import read_form
from api.pages.paging import Before, older
from api.pages.shell import AnyRequest, say
from api.parts import AnyDb, TheBinder, TheDesired
from schemas.assignment import AssignmentStatus
from store.db import transaction
from store.event import TERRAFORM, read_events
from store.history import Which, list_stays
from store.tenancy import IN_LINE, end_waiting

PAGE = 100
PEOPLE = "/admin/assignments"

Words = Annotated[str, QueryParameter(max_length=300)]


@get("/admin/events", media_type="text/html", include_in_schema=False)
async def get_events(
    request: AnyRequest, db: AnyDb, subject: Words = "", steps: FromQuery[str] = "", before: Before = None
) -> Template:
    """Newest first; each resource that Terraform made only for who wants its `steps`."""
    but = None if steps else TERRAFORM
    async with db.connection() as conn:
        events = await read_events(conn, subject=subject or None, before=before, but=but, limit=PAGE)
    newest = list(reversed(events))
    return show_desk(
        request,
        "admin/events.html",
        newest=newest,
        subject=subject,
        steps=steps,
        before=before,
        older=older(newest, PAGE, "id"),
    )


@get("/admin/assignments", media_type="text/html", include_in_schema=False)
async def get_assignments(
    request: AnyRequest,
    db: AnyDb,
    desired: TheDesired,
    *,
    status: FromQuery[str] = "",
    pool: FromQuery[str] = "",
    words: Words = "",
    before: Before = None,
) -> Template:
    """Newest first; the waiting line by `status=waiting`."""
    which = Which(pool=pool or None, status=status or None, words=words or None, before=before)
    in_force = await desired.read()
    async with db.connection() as conn:
        stays = await list_stays(conn, which, limit=PAGE)
    return show_desk(
        request,
        "admin/assignments.html",
        stays=stays,
        state=status,
        pool=pool,
        words=words,
        statuses=list(AssignmentStatus),
        in_line=IN_LINE,
        pools=list(in_force.lab.pools) if in_force else [],
        before=before,
        older=older(stays, PAGE, "seq"),
    )


@post("/admin/assignments", status_code=200, include_in_schema=False)
async def post_assignments(request: AnyRequest, db: AnyDb, binder: TheBinder) -> Response[Any]:
    """Takes people out of the line, after having asked. Who has got a VM meanwhile keeps it."""
    form = await read_form(request)
    async with db.connection() as conn:
        found = await list_stays(conn, Which(seqs=form.numbers("seq")), limit=PAGE)
    chosen = [stay for stay in found if stay.status in IN_LINE]
    if not chosen:
        return say(PEOPLE, "Nothing was done: tick at least one person who still waits.")
    if not form.text("sure"):
        return show_desk(request, "admin/line.html", chosen=chosen)
    async with transaction(db) as conn:
        left = await end_waiting(conn, [stay.seq for stay in chosen], request.state.actor)
    for pool in dict.fromkeys(left):
        await binder.bind(pool)
    return say(PEOPLE, f"Taken out of the line: {len(left)} of {len(chosen)}.")


ROUTES = [get_events, get_assignments, post_assignments]
