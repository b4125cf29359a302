"""What goes wrong for ever: hours of one trouble, and how much was created, spent and logged in each, and who was called."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio

from tests.simulation.checks import Checks
from tests.simulation.clock import run_virtually
from tests.simulation.cloud import Cloud
from tests.simulation.controllers import Controllers
from tests.simulation.database import Database, SimDb, open_connections
from tests.simulation.life import hear_the_log
from tests.simulation.people import People
from tests.simulation.stage import Process, Stage

HOURS = 2
HOUR_S = 3600.0
EVENTS = "SELECT count(*), coalesce(sum(length(message)), 0) FROM event"
CALLED = """
SELECT DISTINCT c.key FROM pool, jsonb_each(conditions) c WHERE (c.value->>'status')::bool
   AND c.key NOT IN ('Converged', 'Ready', 'Observed', 'AmiResolved') ORDER BY 1
"""


@dataclass(frozen=True)
class Hour:
    """Of one hour: launches, VM-hours that were paid for, lines of the log and of the record, and the conditions that held at its end."""

    launches: int
    vm_hours: float
    log_lines: int
    events: int
    event_bytes: int
    called: tuple[str, ...]


def run_away(
    dsn: str, document: dict[str, Any], trouble: Callable[[Cloud], None], then: dict[str, Any] | None = None
) -> list[Hour]:
    """`HOURS` of it, in virtual time; `then` is what an admin changes of every pool before the last."""
    stage = Stage(Random(1))
    with (
        tempfile.TemporaryDirectory(prefix="lablink-sim-") as folder,
        open_connections(dsn) as (conns, listener),
        hear_the_log(stage),
    ):
        base = Database(stage, conns, listener)
        return run_virtually(partial(_run_away, base, Path(folder), document, trouble, then))


async def _run_away(
    base: Database,
    folder: Path,
    document: dict[str, Any],
    trouble: Callable[[Cloud], None],
    then: dict[str, Any] | None,
) -> list[Hour]:
    cloud = Cloud(base.stage)
    checks = Checks(cloud, base.listener)
    people = People(SimDb(base, Process("api", base.stage)).as_db(), cloud, checks, heard_every_s=25.0)
    trouble(cloud)
    async with anyio.create_task_group() as group:
        await people.declare({"deployment": "lab", **document})
        group.start_soon(people.serve_vms)
        group.start_soon(Controllers(base, cloud, group, folder).keep_running, "only")
        hours = [await _live_an_hour(cloud, checks) for _ in range(HOURS - 1)]
        if then:
            changed = {name: {**pool, **then} for name, pool in document["pools"].items()}
            await people.declare({"deployment": "lab", "pools": changed})
        hours.append(await _live_an_hour(cloud, checks))
        assert not base.stage.faults, base.stage.faults[0]
        group.cancel_scope.cancel()
    return hours


async def _live_an_hour(cloud: Cloud, checks: Checks) -> Hour:
    stage, paid_s = cloud.stage, 0.0
    before = (stage.counts["launches"], stage.counts["log_lines"], *checks.read(EVENTS)[0])
    for _ in range(60):
        await anyio.sleep(HOUR_S / 60)
        paid_s += len(cloud.existing()) * HOUR_S / 60
    after = (stage.counts["launches"], stage.counts["log_lines"], *checks.read(EVENTS)[0])
    launches, lines, events, size = (new - old for old, new in zip(before, after, strict=True))
    called = tuple(row[0] for row in checks.read(CALLED))
    return Hour(launches, paid_s / HOUR_S, lines, int(events), int(size), called)
