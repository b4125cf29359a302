"""`/api/v1/costs`: what everything costs per hour, what the month has cost and will cost, by pool, VM and assignment; and approvals."""

from typing import Any

from litestar import Request, get, post
from litestar.params import FromPath

from api.answers import Page
from api.costs_shown import (
    Approved,
    AssignmentCost,
    CostsShown,
    Month,
    PoolCost,
    Price,
    TierCost,
    TierPart,
    VmCost,
)
from api.errors import ConflictError
from api.outlook import Outlook, View
from api.paging import Limit, NameCursor, NumberCursor, page
from api.parts import AnyDb, TheOutlook
from controller.decide.budget import read_prices
from controller.decide.forecast import Costs, month_of, reckon
from controller.decide.price_table import AS_OF
from controller.decide.prices import PriceList
from controller.decide.tier import tier_parts
from schemas.access import Scope
from schemas.snapshot import Snapshot
from store.approval import approve, read_approval
from store.assignment import RECONCILE
from store.db import Db, notify, transaction
from store.desired import read_newest
from store.event import write_event
from store.usage import UsedSeat, UsedVm, list_used_seats, list_used_vms, read_usage

AnyRequest = Request[Any, Any, Any]


@get("/costs")
async def get_costs(db: AnyDb, outlook: TheOutlook) -> CostsShown:
    """In USD; the month is AWS's, in UTC. What has no price is named in `unpriced` and counts for nothing."""
    return await reckon_all(db, outlook)


async def reckon_all(db: Db, outlook: Outlook) -> CostsShown:
    """The answer of `GET /costs`, which pages show, too."""
    view = await outlook.read()
    snapshot = await _with_usage(db, view)
    prices, costs = read_prices(snapshot), reckon(snapshot)
    began, ends = month_of(snapshot.now)
    return CostsShown(
        currency="USD",
        at=snapshot.now,
        month=Month(began=began, ends=ends),
        hourly=_round(costs.hourly),
        so_far=_round(costs.so_far),
        forecast=_round(costs.forecast),
        pools=[_describe_pool(snapshot, prices, costs, index) for index in range(len(costs.pools))],
        allocator=_describe_tier(snapshot, prices, costs),
        budget=snapshot.lab.budget,
        approval=snapshot.approval,
        unpriced=sorted({sentence for pool in costs.pools for sentence in pool.unpriced}),
        table=AS_OF,
    )


async def _with_usage(db: Db, view: View) -> Snapshot:
    async with db.connection() as conn:
        usage = await read_usage(conn)
    return view.snapshot.model_copy(update={"usage": tuple(usage)})


def _describe_pool(snapshot: Snapshot, prices: PriceList, costs: Costs, index: int) -> PoolCost:
    cost = costs.pools[index]
    pool = snapshot.lab.pools.get(cost.name)
    price = prices.instance(pool.region, pool.instance_type[0]) if pool else None
    return PoolCost(
        name=cost.name,
        vms=cost.vms,
        hourly=_round(cost.hourly),
        so_far=_round(cost.so_far),
        forecast=_round(cost.forecast),
        instance_type=pool.instance_type[0] if pool else None,
        price=Price(usd=price.usd, source=price.source) if price else None,
    )


def _describe_tier(snapshot: Snapshot, prices: PriceList, costs: Costs) -> TierCost:
    parts = tier_parts(snapshot.lab, prices, sum(pool.vms for pool in costs.pools))
    return TierCost(
        hourly=_round(costs.tier_hourly),
        so_far=_round(costs.tier_so_far),
        forecast=_round(costs.tier_forecast),
        parts=[TierPart(name=one.name, hourly=_round(one.usd), source=one.source) for one in parts],
    )


@get("/costs/vms")
async def get_vm_costs(db: AnyDb, outlook: TheOutlook, after: NameCursor = "", limit: Limit = 100) -> Page[VmCost]:
    """What each VM has cost this month, those that are gone too, by host name."""
    prices = read_prices((await outlook.read()).snapshot)
    async with db.connection() as conn:
        used = await list_used_vms(conn, after=after, limit=limit)
    items = [VmCost(**_describe_use(prices, vm), hostname=vm.hostname, launched_at=vm.launched_at) for vm in used]
    return page(items, limit, lambda vm: vm.hostname)


@get("/costs/assignments")
async def get_assignment_costs(
    db: AnyDb, outlook: TheOutlook, after: NumberCursor = None, limit: Limit = 100
) -> Page[AssignmentCost]:
    """What each assignment's VM has cost while somebody had it, in their order; nobody is named."""
    prices = read_prices((await outlook.read()).snapshot)
    async with db.connection() as conn:
        used = await list_used_seats(conn, after=after or 0, limit=limit)
    items = [
        AssignmentCost(**_describe_use(prices, one), number=one.seq, hostname=one.hostname, bound_at=one.bound_at)
        for one in used
    ]
    return page(items, limit, lambda one: one.number)


def _describe_use(prices: PriceList, used: UsedVm | UsedSeat) -> dict[str, Any]:
    each = prices.vm(used.region, used.instance_type, (used.volume_type, used.volume_size))
    return {
        "pool": used.pool,
        "instance_type": used.instance_type,
        "hours": round(used.hours, 3),
        "hourly": _round(each),
        "so_far": _round(None if each is None else each * used.hours),
        "ended_at": used.ended_at,
    }


@post("/desired/approve/{number:int}", status_code=200, scope=Scope.ADMIN)
async def post_approve(request: AnyRequest, db: AnyDb, number: FromPath[int]) -> Approved:
    """Let the version in force cost what it wants to; growth that waited for this goes on."""
    await approve_version(db, request.state.actor, number)
    return Approved(version=number, message=f"version {number} is approved")


async def approve_version(db: Db, actor: str, number: int) -> None:
    """Raises ConflictError where it is not in force, or waits for nothing."""
    async with transaction(db) as conn:
        newest = await read_newest(conn)
        if newest is None or newest.version != number:
            in_force = f"version {newest.version} is in force" if newest else "no version is in force"
            raise ConflictError(f"version {number} cannot be approved: {in_force}")
        if not await approve(conn, number, actor):
            raise ConflictError(f"version {number} waits for no approval")
        approval = await read_approval(conn, number)
        assert approval is not None  # it was just approved
        more = f"${approval.wanted_usd - approval.cleared_usd:,.2f}"
        await write_event(
            conn,
            actor,
            "desired",
            "VersionApproved",
            f"version {number} may cost up to {more} an hour more",
        )
        await notify(conn, RECONCILE)


def _round(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 4)


ROUTES = [get_costs, get_vm_costs, get_assignment_costs, post_approve]
