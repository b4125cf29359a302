"""`GET /admin`: what is declared, what is, what happens next and why; and the figures behind its plots."""

from collections import Counter
from collections.abc import Mapping, Sequence
from time import time
from typing import Annotated, Any

from litestar import get
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from api.costs import reckon_all
from api.pages.desk import show_desk
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired, TheOutlook
from api.pools import describe_pool
from controller.decide.work import BROKEN, describe
from schemas.decision import Decision, Judgement
from schemas.vm import Bucket, Seat, Vm
from store.deployment import read_deployment
from store.event import TERRAFORM, read_events
from store.history import count_waiting, read_requests, read_stages, read_starts

NEWEST = 12
POINTS = 180  # of a plot

Hours = Annotated[int, QueryParameter(ge=1, le=168)]


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


@get("/admin/plots/stages", include_in_schema=False)
async def get_stages(db: AnyDb, hours: Hours = 3, pool: FromQuery[str | None] = None) -> dict[str, Any]:
    """VMs by stage over the last hours."""
    async with db.connection() as conn:
        rows = await read_stages(conn, hours, hours * 3600 // POINTS, pool)
    free = [max(0, row["up"] - row["assigned"]) for row in rows]
    return plot(
        hours,
        [row["at"] for row in rows],
        [
            ("assigned", "assigned", [row["assigned"] for row in rows]),
            ("free", "ready", free),
            ("starting", "booting", [row["starting"] for row in rows]),
        ],
        stacked=True,
    )


@get("/admin/plots/requests", include_in_schema=False)
async def get_requests(db: AnyDb, hours: Hours = 3, pool: FromQuery[str | None] = None) -> dict[str, Any]:
    """Requests, and how long the longest of them waited."""
    async with db.connection() as conn:
        rows = await read_requests(conn, hours, max(60, hours * 3600 // 60), pool)
    return plot(
        hours,
        [row["at"] for row in rows],
        [
            ("requests", "assigned", [row["requests"] for row in rows]),
            ("longest wait, s", "failed", [row["longest_wait_s"] for row in rows]),
        ],
        steps=True,
    )


@get("/admin/plots/starts", include_in_schema=False)
async def get_starts(db: AnyDb, hours: Hours = 3, pool: FromQuery[str | None] = None) -> dict[str, Any]:
    """Start-up times of VMs by part."""
    async with db.connection() as conn:
        rows = await read_starts(conn, hours, pool)
    parts = (("Terraform, s", "outdated", "terraform_s"), ("cloud-init, s", "booting", "cloud_init_s"))
    series = [(name, colour, [row[part] for row in rows]) for name, colour, part in parts]
    series += [("container, s", "assigned", [row["container_s"] for row in rows])]
    series += [("request to ready, s", "ready", [row["whole_s"] for row in rows])]
    return plot(hours, [row["at"] for row in rows], series, points=True)


def plot(hours: int, instants: list[float], series: list[tuple[str, str, list[Any]]], **style: bool) -> dict[str, Any]:
    """What `plots.js` draws: instants in epoch seconds, and lines with the colours of the stylesheet."""
    drawn = [{"label": label, "colour": colour, "values": values} for label, colour, values in series]
    return {
        "since": time() - hours * 3600,
        "until": time(),
        "at": instants,
        "series": drawn,
        **style,
    }


ROUTES = [get_dashboard, get_stages, get_requests, get_starts]
