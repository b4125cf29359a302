"""`GET /admin`: what is declared, what is, what happens next and why, and how the last hours were."""

from collections import Counter
from collections.abc import Mapping, Sequence

from litestar import get
from litestar.response import Template

from api.costs import reckon_all
from api.pages.desk import show_desk
from api.pages.plots import read_plots
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired, TheOutlook
from api.pools import describe_pool
from controller.decide.work import BROKEN, describe
from schemas.decision import Decision, Judgement
from schemas.vm import Bucket, Seat, Vm
from store.deployment import read_deployment
from store.event import TERRAFORM, read_events
from store.history import count_waiting

NEWEST = 12


@get("/admin", media_type="text/html", include_in_schema=False)
async def get_dashboard(request: AnyRequest, db: AnyDb, desired: TheDesired, outlook: TheOutlook) -> Template:
    """All pools at a glance."""
    async with db.connection() as conn:
        deployment = await read_deployment(conn)
        events = await read_events(conn, but=TERRAFORM, limit=NEWEST)
        waiting = await count_waiting(conn)
    view = await outlook.read() if await desired.read() else None
    costs = await reckon_all(db, outlook) if view else None
    pools = [describe_pool(view, name) for name in view.decision.pools] if view else []
    return show_desk(
        request,
        "admin/dashboard.html",
        troubles=[one for one in deployment.conditions.values() if not one.good],
        decision=view.decision if view else None,
        version=view.decision.version if view else 0,
        pools=pools,
        sums=sum_up(view.snapshot.vms if view else (), view.decision.judgements if view else (), waiting),
        following=follow_up(view.decision) if view else {},
        waiting=waiting,
        costs=costs,
        newest=list(reversed(events)),
        plots=await read_plots(request, db),
    )


def sum_up(vms: Sequence[Vm], judgements: Sequence[Judgement], waiting: Mapping[str, int]) -> dict[str, int]:
    """The figures that an admin asks for first."""
    buckets = Counter(one.bucket for one in judgements)
    broken = sum(buckets[bucket] for bucket in BROKEN)
    figures = {
        "free": sum(vm.seat is Seat.FREE for vm in vms),
        "assigned": sum(vm.assignment_id is not None for vm in vms),
        "starting": buckets[Bucket.PLANNED] + buckets[Bucket.BOOTING],
        "people waiting": sum(waiting.values()),
    }
    return figures | ({"broken": broken} if broken else {})


def follow_up(decision: Decision) -> dict[str, list[tuple[str, str]]]:
    """By pool, what happens next and what waits, each with its reason."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in decision.pools}
    for action in decision.actions:
        found.setdefault(action.pool, []).append((describe(action), action.reason))
    for held in decision.held:
        found.setdefault(held.pool, []).append((f"waits to {held.what}", held.reason))
    return found


ROUTES = [get_dashboard]
