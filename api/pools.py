"""`/api/v1/pools`: what is declared of each pool and what is there; small changes edit the YAML into a new version."""

from typing import Any

from litestar import Request, get, patch, post
from litestar.params import FromPath, JSONBody

from api.desired import accept
from api.errors import BadInputError, NotFoundError
from api.in_force import DesiredInForce
from api.outlook import View
from api.parts import AnyDb, TheDesired, TheOutlook
from controller.decide.work import BROKEN
from schemas.access import Scope
from schemas.decision import Judgement
from schemas.document import edit_lab, parse_lab
from schemas.vm import Bucket
from store.assignment import RECONCILE, release_vm
from store.db import Connection, notify, transaction
from store.desired import Change, InForce
from store.event import write_event
from store.pool import retry_pool
from store.seat import drain_seat, lock_pool

CHANGEABLE = frozenset({"size", "paused"})


@get("/pools")
async def get_pools(outlook: TheOutlook) -> dict[str, Any]:
    """All pools, removed ones too while they have VMs."""
    view = await outlook.read()
    return {"items": [describe_pool(view, name) for name in view.decision.pools], "next": None}


@get("/pools/{name:str}")
async def get_pool(outlook: TheOutlook, name: FromPath[str]) -> dict[str, Any]:
    """One pool: its declaration, figures, conditions, and what is held back."""
    view = await outlook.read()
    if name not in view.decision.pools:
        raise NotFoundError(f"there is no pool {name!r}")
    declared = view.snapshot.lab.pools.get(name)
    return {**describe_pool(view, name), "declaration": declared.model_dump(mode="json") if declared else None}


def describe_pool(view: View, name: str) -> dict[str, Any]:
    """The figures of a pool as decided, the recorded conditions, and the next things that happen or wait."""
    outlook, row = view.decision.pools[name], view.snapshot.pools.get(name)
    conditions = {condition.type: condition for condition in outlook.conditions}
    if row:
        # A recorded condition keeps the moment since when it holds; actuation's exist only in the record.
        conditions |= {kind: old for kind, old in row.conditions.items() if _is_current(old, conditions.get(kind))}
    return {
        **outlook.model_dump(mode="json", exclude={"conditions"}),
        "conditions": [condition.model_dump(mode="json") for condition in conditions.values()],
        "held": [held.model_dump(mode="json") for held in view.decision.held if held.pool == name],
        "actions": [action.model_dump(mode="json") for action in view.decision.actions if action.pool == name],
    }


def _is_current(recorded: Any, decided: Any) -> bool:
    return decided is None or not decided.adds_to(recorded)


@patch("/pools/{name:str}", scope=Scope.OPERATE)
async def patch_pool(
    request: Request[Any, Any, Any],
    data: JSONBody[dict[str, Any]],
    db: AnyDb,
    desired: TheDesired,
    name: FromPath[str],
) -> dict[str, Any]:
    """Declare another `size`, or `paused`: a new version of the document, comments kept. The document judges the values."""
    if not data or not data.keys() <= CHANGEABLE:
        raise BadInputError(f"send what is to change, of {', '.join(sorted(CHANGEABLE))}, and nothing else")
    in_force = await read_declared(desired, name)
    text = edit_lab(in_force.yaml, {f"pools.{name}.{field}": value for field, value in data.items()})
    change = Change(text, parse_lab(text).lab, request.state.actor, "api")
    return await accept(db, desired, change, in_force.version)


async def read_declared(desired: DesiredInForce, pool: str) -> InForce:
    """The document in force, which declares this pool; raises NotFoundError."""
    desired.forget()  # an edit is made from the newest text there is
    in_force = await desired.read()
    if in_force is None or pool not in in_force.lab.pools:
        raise NotFoundError(f"there is no pool {pool!r} in the document in force")
    return in_force


@post("/pools/{name:str}/retry", status_code=200, scope=Scope.OPERATE)
async def post_retry(
    request: Request[Any, Any, Any], db: AnyDb, outlook: TheOutlook, name: FromPath[str]
) -> dict[str, Any]:
    """A person has looked: failures are forgotten, and every VM that is lost or broken is given up, however many they are.

    Nobody's working VM is ended: one that somebody has is given up only when its instance is gone.
    """
    view = await outlook.read()
    if name not in view.decision.pools:
        raise NotFoundError(f"there is no pool {name!r}")
    broken = sorted(
        (one for one in view.decision.judgements if one.pool == name and one.bucket in BROKEN),
        key=lambda one: one.subject,
    )
    async with transaction(db) as conn:
        await lock_pool(conn, name)  # before the pool's row, as the controller does
        await retry_pool(conn, name)
        given_up = [one.subject for one in broken if await _give_up(conn, name, one, request.state.actor)]
        message = f"tried again without waiting; given up: {', '.join(given_up) or 'no VM'}"
        await write_event(conn, request.state.actor, f"pool/{name}", "RetryAsked", message)
        await notify(conn, RECONCILE, name)
    return {"message": message, "replaced": given_up}


async def _give_up(conn: Connection, pool: str, broken: Judgement, actor: str) -> bool:
    """Its seat drains, which `decide` takes as somebody's word."""
    if await drain_seat(conn, pool, broken.subject):
        return True
    lost = broken.bucket is Bucket.LOST
    return lost and await release_vm(conn, pool, broken.subject, actor, f"its VM is lost: {broken.reason}")


ROUTES = [get_pools, get_pool, patch_pool, post_retry]
