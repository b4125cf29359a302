"""`/api/v1/pools`: what is declared of each pool and what is there; small changes edit the YAML into a new version."""

from typing import Any

from litestar import Request, get, patch, post
from litestar.params import FromPath, JSONBody
from pydantic import BaseModel, ConfigDict

from api.answers import Page, PoolDeclared, PoolShown, Retried, VersionMade, Warned
from api.desired import IfMatch, read_match
from api.edits import BOUNDS, edit_in_force, edit_pool
from api.errors import BadInputError, no_pool
from api.outlook import Outlook, View
from api.paging import Limit, NameCursor, page
from api.parts import AnyDb, TheDesired, TheOutlook
from controller.decide.work import BROKEN
from schemas.access import Scope
from schemas.decision import Judgement
from schemas.values import Flag, Size
from schemas.vm import Bucket, Vm
from schemas.yaml_hidden import HIDDEN
from store.assignment import RECONCILE, release_vm
from store.db import Connection, Db, notify, transaction
from store.event import write_event
from store.pool import retry_pool
from store.seat import drain_seat, lock_pool


class Bounds(BaseModel):
    """An elastic size: assigned + waiting + spare, clamped to `min` and `max`."""

    model_config = ConfigDict(extra="forbid")

    min: Size | None = None
    max: Size
    spare: Size | None = None


class PoolChange(BaseModel):
    """What is to change of a pool's declaration. `size` makes the size a number or elastic; the bounds change alone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"size": 5}, {"max": 20, "spare": 2}]})

    size: Size | Bounds | None = None
    min: Size | None = None
    max: Size | None = None
    spare: Size | None = None
    paused: Flag | None = None

    def fields(self) -> dict[str, Any]:
        """Those that were sent; raises BadInputError when none was, or when they contradict each other."""
        sent = self.model_dump(exclude_none=True)
        if not sent:
            raise BadInputError(f"send what is to change, of {', '.join(sorted(type(self).model_fields))}")
        if "size" in sent and any(bound in sent for bound in BOUNDS):
            raise BadInputError("send either the whole `size` or its bounds `min`, `max` and `spare`")
        return sent


@get("/pools")
async def get_pools(outlook: TheOutlook, after: NameCursor = "", limit: Limit = 100) -> Page[PoolShown]:
    """Pools by name, removed ones too while they have VMs."""
    view = await outlook.read()
    names = sorted(name for name in view.decision.pools if name > after)[:limit]
    return page([describe_pool(view, name) for name in names], limit, lambda pool: pool.name)


@get("/pools/{name:str}")
async def get_pool(outlook: TheOutlook, name: FromPath[str]) -> PoolDeclared:
    """One pool: its declaration, figures, conditions, and what is held back."""
    view = await outlook.read()
    if name not in view.decision.pools:
        raise no_pool(name, view.decision.pools)
    declared = view.snapshot.lab.pools.get(name)
    if declared and declared.access_code:
        declared = declared.model_copy(update={"access_code": HIDDEN})
    return PoolDeclared(**dict(describe_pool(view, name)), declaration=declared)


def describe_pool(view: View, name: str) -> PoolShown:
    """The figures of a pool as decided, the recorded conditions, and the next things that happen or wait."""
    outlook, row = view.decision.pools[name], view.snapshot.pools.get(name)
    conditions = {condition.type: condition for condition in outlook.conditions}
    if row:
        # A recorded condition keeps the moment since when it holds; actuation's exist only in the record.
        conditions |= {kind: old for kind, old in row.conditions.items() if _is_current(old, conditions.get(kind))}
    return PoolShown(
        **dict(outlook) | {"conditions": tuple(conditions.values())},
        warned=[_show_warned(vm) for vm in view.warned.get(name, ())],
        held=[held for held in view.decision.held if held.pool == name],
        actions=[action for action in view.decision.actions if action.pool == name],
    )


def _show_warned(vm: Vm) -> Warned:
    return Warned(hostname=vm.hostname, warning=vm.warning, ends_at=vm.warning_ends_at)


def _is_current(recorded: Any, decided: Any) -> bool:
    return decided is None or not decided.adds_to(recorded)


@patch("/pools/{name:str}", scope=Scope.OPERATE)
async def patch_pool(
    request: Request[Any, Any, Any],
    data: JSONBody[PoolChange],
    db: AnyDb,
    desired: TheDesired,
    *,
    name: FromPath[str],
    if_match: IfMatch = None,
) -> VersionMade:
    """Declare another size, or `paused`: a new version of the document, comments kept. `If-Match` may name the version it is meant for."""
    based_on = read_match(if_match) if if_match else None
    return await edit_in_force(db, desired, edit_pool(name, data.fields()), request.state.actor, based_on)


@post("/pools/{name:str}/retry", status_code=200, scope=Scope.OPERATE)
async def post_retry(request: Request[Any, Any, Any], db: AnyDb, outlook: TheOutlook, name: FromPath[str]) -> Retried:
    """A person has looked: failures are forgotten, and every VM that is lost or broken is given up, however many they are.

    Nobody's working VM is ended: one that somebody has is given up only when its instance is gone.
    """
    return await retry(db, outlook, request.state.actor, name)


async def retry(db: Db, outlook: Outlook, actor: str, name: str) -> Retried:
    """Raises NotFoundError."""
    view = await outlook.read()
    if name not in view.decision.pools:
        raise no_pool(name, view.decision.pools)
    broken = sorted(
        (one for one in view.decision.judgements if one.pool == name and one.bucket in BROKEN),
        key=lambda one: one.subject,
    )
    async with transaction(db) as conn:
        await lock_pool(conn, name)  # before the pool's row, as the controller does
        await retry_pool(conn, name)
        given_up = [one.subject for one in broken if await _give_up(conn, name, one, actor)]
        message = f"tried again without waiting; given up: {', '.join(given_up) or 'no VM'}"
        await write_event(conn, actor, f"pool/{name}", "RetryAsked", message)
        await notify(conn, RECONCILE, name)
    return Retried(message=message, replaced=given_up)


async def _give_up(conn: Connection, pool: str, broken: Judgement, actor: str) -> bool:
    """Its seat drains, which `decide` takes as somebody's word."""
    if await drain_seat(conn, pool, broken.subject):
        return True
    lost = broken.bucket is Bucket.LOST
    if not lost:
        return False
    reason = f"its VM is lost: {broken.reason}"
    return await release_vm(conn, pool, broken.subject, actor, reason, renew=False) is not None


ROUTES = [get_pools, get_pool, patch_pool, post_retry]
