"""`/admin/instances`: every VM, and what an admin does to those that are ticked; what ends or disturbs somebody is confirmed first."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from api.errors import BadInputError
from api.in_force import DesiredInForce
from api.pages.deeds import DEEDS, Deed, Hand
from api.pages.desk import show_desk
from api.pages.fleet import PAGE, Filter, list_rows
from api.pages.forms import Form, read_form
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheBinder, TheDesired, TheOutlook
from schemas.vm import Bucket, Vm
from store.db import Db
from store.desired import DesiredConflict
from store.history import read_holders

MEANWHILE = "the desired state has changed meanwhile, and nothing was done; look again, then go on"

Words = Annotated[str, QueryParameter(max_length=200)]
Number = Annotated[int, QueryParameter(ge=1, le=10_000)]


class Question(NamedTuple):
    """What is to be done to which VMs, who has them, and the page to go back to."""

    deed: Deed
    chosen: Sequence[Vm]
    holders: Mapping[str, str]
    back: str

    @property
    def name_to_type(self) -> str:
        """The pools whose people are disturbed; empty where nobody is."""
        if not self.deed.loses:
            return ""
        return " ".join(sorted({vm.pool for vm in self.chosen if vm.hostname in self.holders}))


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
    question = Question(deed, chosen, await _read_holders(db, chosen), back)
    if deed.loses and not form.text("sure"):
        return await _ask(request, desired, question)
    try:
        check_sure(form, question)
        based_on = form.number("based_on") if form.text("based_on") else None
        done = await Hand(request.state.actor, db, binder, desired, based_on).act(deed, chosen)
    except BadInputError as error:
        return await _ask(request, desired, question, Wrong(error.detail, "confirm"))
    except DesiredConflict:
        return await _ask(request, desired, question, Wrong(MEANWHILE))
    return say(back, done)


async def _read_holders(db: Db, vms: Sequence[Vm]) -> dict[str, str]:
    async with db.connection() as conn:
        return await read_holders(conn, [vm.hostname for vm in vms])


async def _ask(
    request: AnyRequest, desired: DesiredInForce, question: Question, error: Wrong | None = None
) -> Response[Any]:
    in_force = await desired.read()
    return show_desk(
        request,
        "admin/sure.html",
        400 if error else 200,
        **question._asdict(),
        typed=question.name_to_type,
        version=in_force.version if in_force else "",
        error=error,
    )


def check_sure(form: Form, question: Question) -> None:
    """Raises BadInputError when somebody would be disturbed and the pool's name was not typed."""
    name = question.name_to_type
    if name and form.text("confirm").split() != name.split():
        raise BadInputError(f"type {name} to go on; nothing was done")


ROUTES = [get_instances, post_instances]
