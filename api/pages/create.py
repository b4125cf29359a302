"""`GET /admin/create`: more VMs for a pool, as the old system had it; the form goes to `POST /api/launch`."""

from litestar import get
from litestar.response import Template

from api.pages.desk import show_desk
from api.pages.shell import AnyRequest
from api.parts import TheDesired


@get("/admin/create", media_type="text/html", include_in_schema=False)
async def get_create(request: AnyRequest, desired: TheDesired) -> Template:
    """How many more, and of which pool."""
    in_force = await desired.read()
    pools, version = (in_force.lab.pools, in_force.version) if in_force else ({}, 0)
    return show_desk(request, "admin/create.html", pools=pools, version=version)


ROUTES = [get_create]
