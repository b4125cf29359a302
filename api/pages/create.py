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
    return show_desk(request, "admin/create.html", pools=in_force.lab.pools if in_force else {})


ROUTES = [get_create]
