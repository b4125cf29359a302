"""`/admin/events`, who did what to whom and why; `/admin/assignments`, who has or had which VM, and who waits."""

from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from api.pages.desk import show_desk
from api.pages.paging import Before, older
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired
from schemas.assignment import AssignmentStatus
from store.event import TERRAFORM, read_events
from store.history import Which, list_stays

PAGE = 100

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
        pools=list(in_force.lab.pools) if in_force else [],
        before=before,
        older=older(stays, PAGE, "seq"),
    )


ROUTES = [get_events, get_assignments]
