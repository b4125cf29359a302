"""`/admin/pools/{name}`: one pool; its size and pause are changed after a preview of what that does and whom it disturbs."""

from collections.abc import Mapping, Sequence
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Template

from api.desired import accept
from api.edits import BOUNDS, edit_pool, make_draft
from api.errors import BadInputError, ConflictError, NotFoundError, no_pool
from api.in_force import DesiredInForce
from api.outlook import Outlook
from api.pages.dashboard import follow_up
from api.pages.desk import show_desk
from api.pages.engine import sentence
from api.pages.forms import Form, read_form
from api.pages.plots import plot_stages
from api.pages.preview import compare, total
from api.pages.shell import AnyRequest, Wrong, say
from api.parts import AnyDb, TheDesired, TheOutlook
from api.pools import describe_pool, retry
from controller.decide.impact import total as weigh_all
from controller.decide.impact import weigh
from schemas.document import diff_texts
from schemas.lab import Demand, Lab, Pool
from schemas.problem import InvalidDocument
from store.db import Db
from store.desired import Change, DesiredConflict, InForce
from store.event import TERRAFORM, read_events
from store.history import Which, count_waiting, list_stays, read_holders

NEWEST = 8


@get("/admin/pools/{name:str}", media_type="text/html", include_in_schema=False)
async def get_pool(
    request: AnyRequest, db: AnyDb, desired: TheDesired, outlook: TheOutlook, name: FromPath[str]
) -> Template:
    """The pool's figures, VMs and declaration."""
    return await _show(request, db, desired, outlook, name)


async def _show(
    request: AnyRequest,
    db: Db,
    desired: DesiredInForce,
    outlook: Outlook,
    name: str,
    *,
    status: int = 200,
    **context: Any,
) -> Template:
    view, in_force = await outlook.read(), await desired.read()
    if name not in view.decision.pools or in_force is None:
        raise no_pool(name, view.decision.pools)
    async with db.connection() as conn:
        events = await read_events(conn, subject=f"pool/{name}", but=TERRAFORM, limit=NEWEST)
        waiting = await count_waiting(conn)
        stays = await list_stays(conn, Which(pool=name, status="waiting"), limit=20)
        holders = await read_holders(conn, [vm.hostname for vm in view.snapshot.vms if vm.pool == name])
    found = describe_pool(view, name)
    declared = in_force.lab.pools.get(name)
    return show_desk(
        request,
        "admin/pool.html",
        status,
        **{"asked": _as_fields(declared) if declared else {}, "preview": None, "error": None, **context},
        typed="asked" in context,
        pool=found,
        declared=declared,
        sizes=_size_fields(declared) if declared else (),
        version=in_force.version,
        following=follow_up(view.decision)[name],
        waiting=waiting.get(name, 0),
        stays=stays,
        holders=sorted(holders.values()),
        newest=list(reversed(events)),
        plot=None if "hx-request" in request.headers else await plot_stages(db, name),
    )


def _size_fields(pool: Pool) -> Sequence[str]:
    return BOUNDS if isinstance(pool.size, Demand) else ("size",)


def _as_fields(pool: Pool) -> dict[str, str]:
    """The form as it stands."""
    size = pool.size
    bounds = size.model_dump() if isinstance(size, Demand) else {"size": size}
    return {name: str(value) for name, value in bounds.items()} | {"paused": "on" if pool.paused else ""}


@post("/admin/pools/{name:str}", status_code=200, include_in_schema=False)
async def post_pool(
    request: AnyRequest, db: AnyDb, desired: TheDesired, outlook: TheOutlook, name: FromPath[str]
) -> Response[Any]:
    """Shows what the change does (`do=preview`), or puts it in force (`do=save`)."""
    form = await read_form(request)
    asked = {field: form.text(field) for field in ("size", "min", "max", "spare", "paused")}
    try:
        in_force = await _read_declared(desired, name)
        edit = edit_pool(name, _read_fields(form, in_force.lab.pools[name]))
        draft = await to_thread.run_sync(make_draft, in_force, edit)
        if form.text("do") == "save":
            return await _save(db, desired, form, Change(draft.text, draft.lab, request.state.actor, "ui"), name)
        preview = await preview_change(outlook, in_force, draft.text, draft.lab)
        return await _show(request, db, desired, outlook, name, asked=asked, preview=preview)
    except (BadInputError, ConflictError, InvalidDocument, DesiredConflict) as error:
        status, wrong = _explain(error, name)
        return await _show(request, db, desired, outlook, name, status=status, asked=asked, error=wrong)


async def _read_declared(desired: DesiredInForce, name: str) -> InForce:
    desired.forget()
    in_force = await desired.read()
    if in_force is None or name not in in_force.lab.pools:
        raise NotFoundError(f"pool {name!r} is not declared any more")
    return in_force


def _read_fields(form: Form, pool: Pool) -> Mapping[str, Any]:
    """As `PATCH /pools` takes them; `paused` only where it changes, so that it is not written down for nothing."""
    paused = bool(form.text("paused"))
    changed = {"paused": paused} if pool.paused != paused else {}
    return {name: form.number(name) for name in _size_fields(pool)} | changed


async def preview_change(outlook: Outlook, in_force: InForce, text: str, lab: Lab) -> dict[str, Any]:
    """What the templates show of a change that is not in force yet."""
    now = await outlook.read()
    ahead = await outlook.look_ahead(lab, now)
    changes = compare(now, ahead.decision)
    creates, ends, people = total(changes)
    cost = weigh_all(weigh(ahead.snapshot, ahead.decision))
    approval = ahead.snapshot.approval
    return {
        "usd": cost.usd,
        "unpriced": cost.unpriced,
        "needs_approval": approval is not None and approval.state == "waiting",
        "changes": [change for change in changes if not change.idle],
        "creates": creates,
        "ends": ends,
        "people": people,
        "diff": diff_texts(in_force.yaml, text, (f"version {in_force.version}", "your change")),
        "based_on": in_force.version,
    }


async def _save(db: Db, desired: DesiredInForce, form: Form, change: Change, name: str) -> Response[Any]:
    version = await accept(db, desired, change, form.number("based_on"))
    return say(f"/admin/pools/{name}", f"Version {dict(version)['version']} is in force.")


def _explain(error: Exception, name: str) -> tuple[int, Wrong]:
    if isinstance(error, InvalidDocument):
        return 400, Wrong(
            "; ".join(f"{one.field.removeprefix(f'pools.{name}.')} {one.message}" for one in error.problems)
        )
    if isinstance(error, DesiredConflict):
        return 409, Wrong("the desired state has changed meanwhile; look at the preview again, then save")
    assert isinstance(error, HTTPException)
    return error.status_code, Wrong(error.detail)


@post("/admin/pools/{name:str}/retry", status_code=200, include_in_schema=False)
async def post_pool_retry(request: AnyRequest, db: AnyDb, outlook: TheOutlook, name: FromPath[str]) -> Response[Any]:
    """A person has looked: try again at once."""
    done = await retry(db, outlook, request.state.actor, name)
    return say(f"/admin/pools/{name}", sentence(done.message))


ROUTES = [get_pool, post_pool, post_pool_retry]
