"""`/admin/costs`: what everything costs, by hour and month, and growth that waits for somebody to approve its price."""

from typing import Any

from litestar import Response, get, post
from litestar.response import Template

from api.costs import get_costs, post_approve
from api.pages.desk import show_desk
from api.pages.forms import read_form
from api.pages.shell import AnyRequest, say
from api.parts import AnyDb, TheOutlook


@get("/admin/costs", media_type="text/html", include_in_schema=False)
async def get_costs_page(request: AnyRequest, db: AnyDb, outlook: TheOutlook) -> Template:
    """The month, the pools, the allocator's parts."""
    return show_desk(request, "admin/costs.html", costs=await get_costs.fn(db, outlook))


@post("/admin/costs/approve", status_code=200, include_in_schema=False)
async def post_approval(request: AnyRequest, db: AnyDb) -> Response[Any]:
    """Let the version in force cost what it wants to."""
    number = (await read_form(request)).number("version")
    done = dict(await post_approve.fn(request, db, number))
    return say("/admin/costs", f"{done['message'][:1].upper()}{done['message'][1:]}.")


ROUTES = [get_costs_page, post_approval]
