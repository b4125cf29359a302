"""`/admin/instances`: every VM, and what an admin does to those that are ticked; what ends or disturbs somebody is confirmed first."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from api.errors import BadInputError
from api.pages.deeds import DEEDS, Deed, Hand
from api.pages.desk import show_desk
from api.pages.fleet import PAGE, Filter, list_rows
from api.pages.forms import Form, read_form
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheBinder, TheDesired, TheOutlook
from schemas.vm import Bucket, Vm
from store.db import Db
from store.history import read_holders

Words = Annotated[str, QueryParameter(max_length=200)]
Number = Annotated[int, QueryParameter(ge=1, le=10_000)]


@get(["/admin/instances", "/admin/instances/delete"], media_type="text/html", include_in_schema=False)
async def get_instances(
    request: AnyRequest,
    db: AnyDb,
    outlook: TheOutlook,
    *,
    pool: FromQuery[str] = "",
    bucket: FromQuery[str] = "",
    words: Words = "",
    sort: FromQuery[str] = "hostname",
    down: FromQuery[str] = "",
    page: Number = 1,
) -> Template:
    """The list, a page at a time."""
    view = await outlook.read()
    wanted = Filter(pool, bucket, words, sort, bool(down), page)
    rows = list_rows(view, wanted)
    shown = rows[(page - 1) * PAGE : page * PAGE]
    async with db.connection() as conn:
        holders = await read_holders(conn, [row.vm.hostname for row in shown])
    return show_desk(
        request,
        "admin/instances.html",
        wanted=wanted,
        rows=shown,
        found=len(rows),
        pages=max(1, -(-len(rows) // PAGE)),
        holders=holders,
        pools=list(view.decision.pools),
        buckets=list(Bucket),
        deeds=DEEDS,
        removing=request.url.path.endswith("/delete"),
    )


@post("/admin/instances", status_code=200, include_in_schema=False)
async def post_instances(
    request: AnyRequest, db: AnyDb, outlook: TheOutlook, binder: TheBinder, desired: TheDesired
) -> Response[Any]:
    """Does it, or asks first: for all that ends or disturbs something, and by the pool's name where people are disturbed."""
    form = await read_form(request)
    deed = DEEDS.get(form.text("deed"))
    view = await outlook.read()
    chosen = [vm for vm in view.snapshot.vms if vm.hostname in set(form.texts("hostname"))]
    back = form.text("back") if form.text("back").startswith("/admin/") else "/admin/instances"
    if deed is None or not chosen:
        return say(back, "Nothing was done: tick at least one VM that is still there.")
    holders = await _read_holders(db, chosen)
    if deed.asks and not form.text("sure"):
        return _ask(request, deed, chosen, holders, back)
    try:
        check_sure(form, deed, chosen, holders)
    except BadInputError as error:
        return _ask(request, deed, chosen, holders, back, Wrong(error.detail, "confirm"))
    done = await Hand(request.state.actor, db, binder, desired).act(deed, chosen)
    return say(back, done)


async def _read_holders(db: Db, vms: Sequence[Vm]) -> dict[str, str]:
    async with db.connection() as conn:
        return await read_holders(conn, [vm.hostname for vm in vms])


def _ask(
    request: AnyRequest,
    deed: Deed,
    chosen: Sequence[Vm],
    holders: dict[str, str],
    back: str,
    error: Wrong | None = None,
) -> Response[Any]:
    return show_desk(
        request,
        "admin/sure.html",
        400 if error else 200,
        deed=deed,
        chosen=chosen,
        holders=holders,
        typed=name_to_type(deed, chosen, holders),
        back=back,
        error=error,
    )


def name_to_type(deed: Deed, chosen: Sequence[Vm], holders: dict[str, str]) -> str:
    """The pools whose people are disturbed, to be typed; empty where nobody is."""
    if not deed.disturbs:
        return ""
    return " ".join(sorted({vm.pool for vm in chosen if vm.hostname in holders}))


def check_sure(form: Form, deed: Deed, chosen: Sequence[Vm], holders: dict[str, str]) -> None:
    """Raises BadInputError when somebody would be disturbed and the pool's name was not typed."""
    name = name_to_type(deed, chosen, holders)
    if name and form.text("confirm").split() != name.split():
        raise BadInputError(f"type {name} to go on; nothing was done")


ROUTES = [get_instances, post_instances]
