"""What CloudWatch is told every minute: figures that its alarms watch, and of each pool for who has no Prometheus.

Sent by the leader in one call, as `allocator.cloudwatch` says. The figures are of the last tick and of one look at the record for
all pools together, in a handler of its own: no tick waits for it, and an allocator whose ticks stop is seen by their age.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from anyio import to_thread

from controller.decide.budget import used_share
from controller.world import Tick, World
from schemas.conditions import Severity, severity_of
from schemas.decision import PoolOutlook
from schemas.lab import Lab
from schemas.status import Condition
from schemas.vm import Bucket
from store.desired import read_in_force
from store.meter import Brief, read_brief

log = structlog.get_logger()

SEND_S = 60.0
NAMESPACE = "LabLink"
MOST = 1000
"""Figures that one call may have: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html"""
BROKEN = (Bucket.FAILED, Bucket.SILENT, Bucket.LOST)
Figures = Mapping[str, float]


async def send_metric(world: World) -> None:
    """Raises CloudError when AWS does not take it; alarms then see nothing, which is a trouble for that of the ticks alone."""
    if not world.settings.metrics:
        return
    async with world.db.connection() as conn:
        in_force = await read_in_force(conn)
    if in_force is None or in_force.lab.allocator.cloudwatch == "none":
        return
    lab, tick, brief = in_force.lab, world.sight.tick, await read_brief(world.db)
    data = await to_thread.run_sync(
        lambda: list(_data(lab, tick, brief))
    )  # thousands of VMs are counted beside the loop
    if len(data) > MOST:
        log.warning("only some pools are told to CloudWatch, in the order of their names", figures=len(data), most=MOST)

    def put(cloudwatch: Any) -> None:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data[:MOST])

    await world.ec2.use("cloudwatch", lab.region, "sending figures to CloudWatch", put)


def _data(lab: Lab, tick: Tick | None, brief: Brief) -> Iterator[dict[str, Any]]:
    """As `PutMetricData` takes them: the deployment's first, then pool by pool where that is asked for."""
    now = datetime.now(UTC)
    of_pools = (
        {name: measure_pool(pool, tick, brief) for name, pool in sorted(tick.decision.pools.items())} if tick else {}
    )
    yield from _datums(lab, now, measure_deployment(lab, tick, brief, of_pools) | _age(tick, now))
    if lab.allocator.cloudwatch == "pools":
        for name, figures in of_pools.items():
            yield from _datums(lab, now, figures, pool=name)


def measure_deployment(lab: Lab, tick: Tick | None, brief: Brief, of_pools: Mapping[str, Figures]) -> dict[str, float]:
    """What alarms watch. What cannot be told is left out: an alarm decides what silence means."""
    conditions: list[Condition] = list(brief.conditions.values())
    figures = {}
    if lab.backup.bucket:
        figures["backups_missed"] = brief.backup_age_s / lab.backup.every.total_seconds()
    if tick:
        outlooks = tick.decision.pools.values()
        conditions += [one for pool in outlooks for one in pool.conditions]
        figures["pools_not_converged"] = sum(not pool.converged for pool in outlooks)
        share = used_share(tick.snapshot)
        if share is not None:
            figures["budget_used_percent"] = 100 * share
        for name in ("people_waiting", "vms_broken"):
            figures[name] = sum(pool[name] for pool in of_pools.values())
        for name in ("wait_longest_seconds", "runs_failed"):
            figures[name] = max((pool[name] for pool in of_pools.values()), default=0.0)
    figures["troubles_critical"] = sum(
        not one.good and severity_of(one.type) is Severity.CRITICAL for one in conditions
    )
    return figures


def measure_pool(pool: PoolOutlook, tick: Tick, brief: Brief) -> dict[str, float]:
    asked = tick.snapshot.asked.get(pool.name)
    told = {name: values.get(pool.name) for name, values in brief.of_pools.items()}
    start = told.pop("start_p90_seconds")
    return {
        "vms_wanted": pool.declared,
        "vms_ready": pool.buckets.get(Bucket.READY, 0),
        "vms_assigned": pool.buckets.get(Bucket.ASSIGNED, 0),
        "vms_broken": sum(pool.buckets.get(bucket, 0) for bucket in BROKEN),
        "people_waiting": asked.waiting if asked else 0,
        **{name: value or 0.0 for name, value in told.items()},
        **({"start_p90_seconds": start} if start is not None else {}),
    }


def _age(tick: Tick | None, now: datetime) -> dict[str, float]:
    """Of the last tick that was carried through; a new leader has none until it has looked at AWS."""
    return {"tick_age_seconds": max(0.0, (now - tick.snapshot.now).total_seconds())} if tick else {}


def _datums(lab: Lab, now: datetime, figures: Figures, **more: str) -> Iterator[dict[str, Any]]:
    where = {"deployment": lab.deployment, "environment": lab.environment, **more}
    dimensions = [{"Name": name, "Value": value} for name, value in where.items()]
    for name, value in figures.items():
        yield {
            "MetricName": name,
            "Dimensions": dimensions,
            "Timestamp": now,
            "Value": float(value),
            "Unit": UNITS.get(name.rpartition("_")[2], "Count"),
        }


UNITS = {"seconds": "Seconds", "percent": "Percent", "missed": "None"}
"""By how a figure's name ends."""
