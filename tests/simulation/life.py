"""One simulated life of a deployment, drawn from a seed: an hour of trouble, then quiet, in which it has to come to rest.

`python -m tests.simulation.life SEED…` lives through these seeds again, `--count 1000` through as many (a part of `make prove`),
`--trace SEED` shows everything that happened.
"""

import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import structlog
from anyio.abc import TaskGroup

from sandbox import postgres
from store.migrate import migrate
from tests.prove.piece import Lived, run_pieces
from tests.simulation.checks import Checks
from tests.simulation.clock import run_virtually
from tests.simulation.cloud import Cloud
from tests.simulation.controllers import Controllers
from tests.simulation.database import Database, SimDb, open_connections, shadow_clock, shadowed
from tests.simulation.people import People
from tests.simulation.stage import Process, Stage, Troubles

TROUBLED_S = (400.0, 1000.0)
REST_WITHIN_S = 2400.0
RESTS_S = 120.0
KEEP_ORDER = """
DO $$ DECLARE name regclass; BEGIN
  FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', name);
  END LOOP;
END $$
"""
"""Where rows lie, and which plan is best, would follow from when PostgreSQL tidies up: in real time."""
LIKELY = {
    "capacity": 0.3, "quota": 0.05, "throttling": 0.05, "cut_short": 0.1, "cancelled": 0.5, "network": 0.05, "stale": 0.3, "short": 0.3,
    "unseen": 0.1, "slow": 0.1, "lost_notes": 0.3, "cut_commit": 0.01, "hang": 0.002, "broken": 0.1,
}  # fmt: skip


@dataclass
class Life:
    stage: Stage
    cloud: Cloud
    base: Database
    checks: Checks
    people: People
    controllers: Controllers
    document: dict[str, Any]

    async def live(self, group: TaskGroup) -> None:
        chance = self.stage.chance
        group.start_soon(self.people.serve_vms)
        group.start_soon(self._look_each_minute)
        await self.people.declare(self.document)
        for name in ("first", "second")[: chance.randint(1, 2)]:
            group.start_soon(self.controllers.keep_running, name)
        for number in range(chance.randint(0, 6)):
            group.start_soon(self._arrive, group, f"person{number}@example.org", chance.uniform(0, 700))
        self.stage.troubles = draw_troubles(chance)
        until = self.stage.at + chance.uniform(*TROUBLED_S)
        while self.stage.at < until:
            await anyio.sleep(chance.expovariate(1 / 60))
            await self._strike()
        await self._calm_down()
        await self._come_to_rest()
        self.controllers.closing = True
        group.cancel_scope.cancel()

    async def _arrive(self, group: TaskGroup, email: str, after_s: float) -> None:
        await anyio.sleep(after_s)
        pool = self.stage.chance.choice(sorted(self.document["pools"]) or ["alpha"])
        if not self.people.leaving:
            self.people.start(group, email, pool, self.stage.chance.uniform(60, 900))

    async def _look_each_minute(self) -> None:
        while True:
            await anyio.sleep(60)
            self.checks.look()

    async def _strike(self) -> None:
        chance = self.stage.chance
        await chance.choice(
            (self._edit, self._kill, self._kill, self._pause, self._fail_over, self._harm, self._harm, self._jump)
        )()

    async def _edit(self) -> None:
        chance = self.stage.chance
        name = chance.choice(("alpha", "beta"))
        if name not in self.document["pools"]:
            self.document["pools"][name] = draw_pool(chance)
        elif chance.random() < 0.15:
            del self.document["pools"][name]
        else:
            change = chance.choice(
                ({"size": chance.randint(0, 5)}, {"repository": f"https://example.org/{chance.randrange(99)}"})
            )
            self.document["pools"][name] |= change
        await self.people.declare(self.document)

    async def _kill(self) -> None:
        """At one of the next side effects, whichever that is."""
        for process in self.controllers.alive[:1]:
            process.dies_at = process.boundary + self.stage.chance.randint(1, 60)

    async def _pause(self) -> None:
        for process in self.controllers.alive[:1]:
            process.pause(self.stage.chance.uniform(2, 60))

    async def _fail_over(self) -> None:
        self.stage.fail_over(self.stage.chance.uniform(0.5, 40))

    async def _jump(self) -> None:
        self.stage.database_ahead_s += (seconds := self.stage.chance.uniform(-15, 15))
        self.stage.counts["faults"] += 1
        self.stage.note(f"the database's clock jumps by {seconds:.1f} s")

    async def _harm(self) -> None:
        """An instance ends, stops, or is there twice."""
        alive = [one for one in self.cloud.existing() if one.state(self.stage.at) == "running"]
        if not alive:
            return
        one = self.stage.chance.choice(alive)
        self.stage.counts["faults"] += 1
        if self.stage.chance.random() < 0.7:
            self.cloud.terminate(one.instance_id, "AWS")
        else:
            self.stage.note(f"{one.instance_id} ({one.hostname}) stops")
            one.stopped = True

    async def _calm_down(self) -> None:
        self.stage.note("quiet")
        self.stage.troubles = Troubles()
        self.people.leaving = True
        for process in self.controllers.alive:
            process.dies_at = None
        if not self.document["pools"]:
            self.document["pools"]["alpha"] = draw_pool(self.stage.chance)
            await self.people.declare(self.document)

    async def _come_to_rest(self) -> None:
        """Within the bound; then nothing happens any more."""
        began_at = self.stage.at
        unrest = ["people are there"]
        while unrest and self.stage.at - began_at < REST_WITHIN_S:
            await anyio.sleep(20)
            before, unrest = (
                unrest,
                [f"{one} is there" for one in sorted(self.people.present)] + self.checks.find_unrest(),
            )
            if unrest != before:
                self.stage.note(f"  not yet: {'; '.join(unrest)}")
        self.stage.counts["longest_to_rest_s"] = int(self.stage.at - began_at)
        if unrest and not self.checks.find_called():
            self.stage.trace += self.checks.describe()
            return self.stage.blame(f"no rest after {REST_WITHIN_S:.0f} s: {'; '.join(unrest[:5])}")
        self.stage.note("rest" if not unrest else f"called: {', '.join(self.checks.find_called())}")
        done = (self.checks.count_runs(), self.stage.counts["launches"])
        await anyio.sleep(RESTS_S)
        if not unrest and (self.checks.count_runs(), self.stage.counts["launches"]) != done:
            self.stage.blame("Terraform ran at rest")
        self.checks.look()
        return None


def draw_troubles(chance: Random) -> Troubles:
    """About half of them, each more or less likely."""
    drawn = {name: likely * chance.choice((0.3, 1.0)) for name, likely in LIKELY.items() if chance.random() < 0.5}
    assert drawn.keys() <= {field.name for field in fields(Troubles)}
    return Troubles(**drawn)


def draw_pool(chance: Random) -> dict[str, Any]:
    sizes: tuple[Any, ...] = (chance.randint(1, 4), {"min": 1, "max": chance.randint(2, 5), "spare": 1})
    return {
        "size": chance.choice(sizes),
        "instance_type": ["g4dn.xlarge", "g5.xlarge"][: chance.randint(1, 2)],
        "update": {"surge": chance.randint(0, 1), "unavailable": 1},
        "health": {"boot": "5m", "silent": "3m", "reboot_first": chance.random() < 0.5},
        "orphans": "report",
    }


def live_through(seed: int, dsn: str) -> Stage:
    """The whole life of a seed in a fresh database whose clock is shadowed."""
    stage = Stage(Random(seed))
    with (
        tempfile.TemporaryDirectory(prefix="lablink-sim-") as folder,
        open_connections(dsn) as (conns, listener),
        hear_the_log(stage),
    ):
        run_virtually(partial(_live, Database(stage, conns, listener), Path(folder)))
    return stage


async def _live(base: Database, folder: Path) -> None:
    stage = base.stage
    cloud = Cloud(stage)
    cloud.watch = checks = Checks(cloud, base.listener)
    people = People(SimDb(base, Process("api", stage)).as_db(), cloud, checks)
    async with anyio.create_task_group() as group:
        controllers = Controllers(base, cloud, group, folder)
        document = {"deployment": "lab", "pools": {"alpha": draw_pool(stage.chance)}}
        await Life(stage, cloud, base, checks, people, controllers, document).live(group)


@contextmanager
def hear_the_log(stage: Stage) -> Iterator[None]:
    """What the program logs is counted, not written; an error that nobody expected is blamed."""

    def hear(_logger: Any, level: str, event: Mapping[str, Any]) -> Any:
        stage.counts["log_lines"] += 1
        if event.get("exc_info") and level == "error":
            said = traceback.format_exc(limit=-6)
            if "Killed" not in said:
                stage.blame(f"{event['event']}: {said}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


@dataclass
class Databases:
    """Makes a fresh one a seed, from a template that was migrated under the shadowed clock."""

    server: str

    def __post_init__(self) -> None:
        self.template = f"lablink_simulated_{uuid4().hex[:8]}"
        anyio.run(migrate, dsn := shadow_clock(postgres.create_database(self.server, self.template)))
        with psycopg.connect(dsn) as conn:
            conn.execute(KEEP_ORDER)

    @contextmanager
    def fresh(self, name: str) -> Iterator[str]:
        yield shadowed(postgres.create_database(self.server, name, template=self.template))
        postgres.drop_database(self.server, name)


@contextmanager
def open_databases() -> Iterator[Databases]:
    """On a server of its own."""
    with tempfile.TemporaryDirectory(prefix="lablink-sim-") as folder, postgres.start(Path(folder) / "pg") as server:
        yield Databases(server.dsn)


def main() -> int:
    with open_databases() as databases:

        def live(seed: int) -> Lived:
            with databases.fresh(f"seed_{seed}") as dsn:
                stage = live_through(seed, dsn)
            if "--trace" in sys.argv:
                print("\n".join(stage.trace))
            return Lived(stage.faults, stage.counts)

        arguments = [one for one in sys.argv[1:] if one != "--trace"]
        return run_pieces("tests.simulation.life", __doc__, live, arguments)


if __name__ == "__main__":
    sys.exit(main())
