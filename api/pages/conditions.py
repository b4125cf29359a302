"""`/admin/conditions`: what each trouble means, what to do about it, and where it holds now. Alerts and messages lead here."""

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from api.errors import NotFoundError
from api.outlook import Outlook
from api.pages.desk import show_desk
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired, TheOutlook
from api.pools import describe_pool
from schemas.conditions import CONDITIONS, DEPLOYMENT, POOL
from schemas.status import Condition
from schemas.values import nearest
from store.deployment import read_deployment


@get("/admin/conditions", media_type="text/html", include_in_schema=False)
async def get_conditions(request: AnyRequest) -> Template:
    """All of them, as the manual has them."""
    kinds = {"Of a pool": POOL, "Of the deployment": DEPLOYMENT}
    return show_desk(request, "admin/conditions.html", kinds=kinds)


@get("/admin/conditions/{name:str}", media_type="text/html", include_in_schema=False)
async def get_condition(
    request: AnyRequest, db: AnyDb, desired: TheDesired, outlook: TheOutlook, name: FromPath[str]
) -> Template:
    """One, with every pool that has it."""
    if name not in CONDITIONS:
        meant = nearest(name, list(CONDITIONS))
        raise NotFoundError(f'there is no condition "{name}"' + (f"; {meant} perhaps?" if meant else ""))
    if name in DEPLOYMENT:
        async with db.connection() as conn:
            found = [("deployment", (await read_deployment(conn)).conditions.get(name))]
    else:
        found = await _of_pools(outlook, name) if await desired.read() else []
    held = [(subject, one) for subject, one in found if one and not one.good]
    return show_desk(request, "admin/condition.html", type=name, kind=CONDITIONS[name], held=held)


async def _of_pools(outlook: Outlook, name: str) -> list[tuple[str, Condition | None]]:
    view = await outlook.read()
    return [
        (f"pool/{pool}", one)
        for pool in view.decision.pools
        for one in describe_pool(view, pool).conditions
        if one.type == name
    ]


ROUTES = [get_conditions, get_condition]
