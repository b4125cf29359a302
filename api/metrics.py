"""`GET /metrics` for Prometheus: the whole lab, read from the database at the scrape (any process answers for all), and this process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from api.admins import in_scope
from api.outlook import View
from api.parts import AnyDb, TheDesired, TheListener, TheOutlook, TheSettings, TheWaiters
from api.pools import describe_pool
from controller.decide.forecast import reckon
from schemas.conditions import severity_of
from schemas.decision import PoolOutlook
from schemas.release import VERSION
from schemas.status import Condition
from store.db import Db
from store.deployment import read_deployment
from store.meter import read_meter

WAIT_QUANTILES = ("0.5", "0.9", "1")
START_QUANTILES = ("0.5", "0.9")
Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Families:
    """What `generate_latest` takes for a registry."""

    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        yield from self.families
        yield from REGISTRY.collect()


@get("/metrics", guards=[in_scope], media_type="text/plain")
async def get_metrics(
    settings: TheSettings,
    db: AnyDb,
    desired: TheDesired,
    outlook: TheOutlook,
    listener: TheListener,
    waiters: TheWaiters,
) -> Response[bytes]:
    """Figures in Prometheus's text format. Scrape it with an API token of scope `read`, or the admin's name and password."""
    view = await outlook.read() if await desired.read() else None
    async with db.connection() as conn:
        deployment = await read_deployment(conn)
    conditions = [("deployment", one) for one in deployment.conditions.values()]
    if view:
        conditions += [
            (f"pool/{name}", one) for name in view.decision.pools for one in describe_pool(view, name).conditions
        ]
    about = (settings.allocator_url, VERSION)
    families = [
        gauge("lablink_info", "Where this LabLink is reached, and its version", [(about, 1)], ("url", "version")),
        _tell_troubles(conditions),
        gauge("lablink_held_calls", "VMs that wait in a held call of this process", [((), len(waiters))]),
        gauge(
            "lablink_listening", "Whether this process hears the database's notifications", [((), listener.connected)]
        ),
        *(await _measure_database(db)),
        *(_measure_pools(view) if view else ()),
    ]
    return Response(generate_latest(Families(families)), headers={"content-type": CONTENT_TYPE_LATEST})


def gauge(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] = ()
) -> Metric:
    """A family of which each value is told apart by what its labels say."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for named, value in values:
        family.add_metric(named, float(value))
    return family


def _measure_pools(view: View) -> list[Metric]:
    pools = list(view.decision.pools.values())
    costs = reckon(view.snapshot)
    return [
        gauge("lablink_desired_version", "Version of the document in force", [((), view.decision.version)]),
        gauge("lablink_vms", "VMs by bucket", _count_buckets(pools), ("pool", "bucket")),
        gauge("lablink_vms_declared", "VMs wanted now", [((pool.name,), pool.declared) for pool in pools], ("pool",)),
        gauge("lablink_vms_ceiling", "VMs allowed now", [((pool.name,), pool.ceiling) for pool in pools], ("pool",)),
        gauge("lablink_pools_not_converged", "Pools that differ from their declaration", [((), _count_apart(pools))]),
        gauge(
            "lablink_actions_held",
            "What is held back",
            [((pool.name,), _held(view, pool)) for pool in pools],
            ("pool",),
        ),
        gauge("lablink_cost_usd_per_hour", "Of everything that runs now, the allocator too", [((), costs.hourly)]),
        gauge("lablink_cost_usd_month", "So far in AWS's month, in UTC", [((), costs.so_far)]),
        gauge("lablink_budget_usd", "Beyond which nothing grows", _budgets(view), ("per",)),
    ]


def _budgets(view: View) -> list[tuple[tuple[str, ...], float]]:
    budget = view.snapshot.lab.budget
    limits = {"hour": budget.hourly, "month": budget.monthly}
    return [((per,), limit) for per, limit in limits.items() if limit is not None]


def _count_buckets(pools: Iterable[PoolOutlook]) -> list[tuple[tuple[str, ...], float]]:
    return [((pool.name, bucket.value), count) for pool in pools for bucket, count in pool.buckets.items()]


def _count_apart(pools: Iterable[PoolOutlook]) -> int:
    return sum(not pool.converged for pool in pools)


def _held(view: View, pool: PoolOutlook) -> int:
    return sum(held.pool == pool.name for held in view.decision.held)


def _tell_troubles(conditions: Iterable[tuple[str, Condition]]) -> Metric:
    values = [((subject, one.type, severity_of(one.type).value), not one.good) for subject, one in conditions]
    return gauge(
        "lablink_trouble", "1 while a condition is not as it should be", values, ("subject", "condition", "severity")
    )


async def _measure_database(db: Db) -> list[Metric]:
    rows = await read_meter(db)
    (up,) = rows["up"]
    return [
        gauge(
            "lablink_people", "People by how far they are", _by(rows["people"], "pool", "status"), ("pool", "status")
        ),
        gauge(
            "lablink_wait_seconds", "For a VM, requests of the last hour", _waits(rows["waits"]), ("pool", "quantile")
        ),
        gauge(
            "lablink_start_seconds", "VMs ready in the last day", _starts(rows["starts"]), ("pool", "part", "quantile")
        ),
        gauge("lablink_terraform_runs", "Under way, or ended in the last hour", _by(rows["runs"], *OF_RUN), OF_RUN),
        gauge("lablink_terraform_longest_seconds", "Of these", _by(rows["runs"], *OF_RUN, value="longest_s"), OF_RUN),
        gauge(
            "lablink_terraform_part_seconds",
            "Of runs that ended in the last hour: planning, applying",
            _starts(rows["parts"]),
            ("pool", "part", "quantile"),
        ),
        gauge("lablink_events", "Of the last hour, by what happened", _by(rows["events"], "reason"), ("reason",)),
        gauge(
            "lablink_decisions",
            "Of the last hour, by what was decided and why",
            _decisions(rows["decisions"]),
            OF_DECISION,
        ),
        gauge("lablink_controllers_leading", "1, or nobody looks after the pools", [((), up["controllers"])]),
        gauge(
            "lablink_lease_seconds",
            "Until the leader's lease ends if nobody renews it; below 0: it has ended",
            [((), up["lease_s"])],
        ),
        gauge("lablink_api_processes", "Seen within the last minute", [((), up["apis"])]),
    ]


OF_DECISION = ("pool", "decision", "reason")
OF_RUN = ("pool", "outcome", "cause")


def _by(rows: Rows, *labels: str, value: str = "n") -> list[tuple[tuple[str, ...], float]]:
    return [(tuple(str(row[label]) for label in labels), row[value]) for row in rows]


def _decisions(rows: Rows) -> list[tuple[tuple[str, ...], float]]:
    return [((row["pool"], row["decision"], row["why"]), row["n"]) for row in rows]


def _waits(rows: Rows) -> list[tuple[tuple[str, ...], float]]:
    return [((row["pool"], q), s) for row in rows for q, s in zip(WAIT_QUANTILES, row["waits"], strict=True)]


def _starts(rows: Rows) -> list[tuple[tuple[str, ...], float]]:
    return [
        ((row["pool"], row["part"], q), s) for row in rows for q, s in zip(START_QUANTILES, row["took"], strict=True)
    ]


ROUTES = [get_metrics]
