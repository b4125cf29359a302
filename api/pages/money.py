"""`/admin/costs`: what everything costs, by hour and month, and growth that waits for somebody to approve its price."""

from typing import Any

from litestar import Response, get, post
from litestar.response import Template

from api.costs import approve_version, reckon_all
from api.pages.desk import show_desk
from api.pages.forms import read_form
from api.pages.shell import AnyRequest, say
from api.parts import AnyDb, TheOutlook


@get("/admin/costs", media_type="text/html", include_in_schema=False)
async def get_costs_page(request: AnyRequest, db: AnyDb, outlook: TheOutlook) -> Template:
    """The month, the pools, the allocator's parts."""
    return show_desk(request, "admin/costs.html", costs=await reckon_all(db, outlook))


@post("/admin/costs/approve", status_code=200, include_in_schema=False)
async def post_approval(request: AnyRequest, db: AnyDb) -> Response[Any]:
    """Let the version in force cost what it wants to."""
    number = (await read_form(request)).number("version")
    await approve_version(db, request.state.actor, number)
    return say("/admin/costs", f"Version {number} is approved.")


ROUTES = [get_costs_page, post_approval]
