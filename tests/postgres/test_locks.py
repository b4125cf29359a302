"""Many writers of the same VM rows at once: no deadlock, no wish of a VM that holds up a decision, nobody bound to a cordoned VM."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import anyio
import pytest
from psycopg.errors import DeadlockDetected

from controller.commit import commit_decision
from controller.desired import sync_desired
from controller.observe import take_snapshot
from controller.world import World
from schemas.decision import Action, Decision, EndVm, MarkLost
from schemas.document import parse_lab
from schemas.snapshot import Snapshot
from schemas.vm import Instance
from store.actuation import check_rows
from store.db import Db, fetch, fetch_one, open_db, transaction
from store.desired import Change, append_version
from store.instance import merge_listing
from store.seat import close_seat, free_seats, lock_pool
from store.vm import Report, cordon_vm, record_reports
from tests.api.world import add_vms
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

POOL = "client"
NOW = datetime.now(UTC)
TEXT = "pools:\n  client:\n    size: 1\n"
CARRIED_OUT = {"VmDraining", "VmLost"}
NAMES = [f"lab-client-test-{n:03}" for n in range(80)]


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=12) as db:
        yield db


@pytest.fixture
async def world(db: Db, dsn: str) -> World:
    world = await lead_world(db, dsn)
    async with transaction(db) as conn:
        await append_version(conn, Change(TEXT, parse_lab(TEXT).lab, "ada", "api"), None)
    await sync_desired(world)
    async with transaction(db) as conn:
        await add_vms(conn, NAMES, POOL)
    return world


async def read_versions(db: Db) -> dict[str, int]:
    async with db.connection() as conn:
        return {row["hostname"]: row["version"] for row in await fetch(conn, "SELECT hostname, version FROM vm")}


class Writers:
    """Each of them writes all VMs, or half of them, in an order of chance."""

    def __init__(self, world: World, snapshot: Snapshot, instance_ids: dict[str, str]) -> None:
        self._world = world
        self._db = world.db
        self._snapshot = snapshot
        self._instance_ids = instance_ids
        self._chance = random.Random(3)

    async def report(self) -> None:
        in_use = bool(self._chance.getrandbits(1))
        said = [Report(n, in_use=in_use, cloud_init_s=self._chance.random()) for n in self._shuffled()]
        async with transaction(self._db) as conn:
            await record_reports(conn, said)

    async def poll(self) -> None:
        async with transaction(self._db) as conn:
            await free_seats(conn, self._shuffled())

    async def see(self) -> None:
        async with transaction(self._db) as conn:
            await merge_listing(conn, "us-west-2", datetime.now(UTC), [self._seen(n) for n in self._shuffled()])

    async def decide(self) -> None:
        versions = await read_versions(self._db)
        kinds: tuple[type[EndVm | MarkLost], ...] = (EndVm, MarkLost)
        actions: tuple[Action, ...] = tuple(
            self._chance.choice(kinds)(pool=POOL, hostname=name, version=versions[name], reason="as a test")
            for name in self._shuffled()[:40]
        )
        decision = Decision(now=self._snapshot.now, version=1, actions=actions)
        await commit_decision(self._world, self._snapshot, decision)

    def draw_pauses(self, number: int) -> list[float]:
        """Who is first is left to chance; but every other time the last act has a lead: a decision, which reads before it writes, would
        always be too late on a busy machine, and dropped."""
        return [self._chance.uniform(0.1, 0.3) for _ in range(number - 1)] + [0.0]

    def _shuffled(self) -> list[str]:
        return self._chance.sample(NAMES, len(NAMES))

    def _seen(self, name: str) -> Instance:
        address = f"198.51.100.{self._chance.randrange(250)}"
        return Instance(
            instance_id=self._instance_ids[name], region="us-west-2", hostname=name, pool=POOL, generation=1, state="running",
            instance_type="t3.large", image_id="ami-1", public_ip=address, launched_at=NOW, first_seen_at=NOW,
        )  # fmt: skip


async def test_reports_polls_listings_and_decisions_at_once_do_not_deadlock(db: Db, world: World) -> None:
    snapshot = await take_snapshot(world)
    assert snapshot is not None
    writers = Writers(world, snapshot, {vm.hostname: vm.instance_id or "" for vm in snapshot.vms})
    deadlocks: list[str] = []

    async def watch(act: Callable[[], Awaitable[None]], later_s: float) -> None:
        await anyio.sleep(later_s)
        try:
            await act()
        except DeadlockDetected as error:
            deadlocks.append(f"{act.__name__}: {error}")

    ended: set[str] = set()
    for n in range(100):
        if n >= 12 and ended >= CARRIED_OUT:
            break
        async with db.connection() as conn:
            await conn.execute("UPDATE vm SET phase = 'live', ready_at = NULL")
            await conn.execute("UPDATE seat SET state = 'closed'")
        async with anyio.create_task_group() as tasks:
            acts = (writers.report, writers.poll, writers.see, writers.report, writers.poll, writers.decide)
            pauses = writers.draw_pauses(len(acts)) if n % 2 else [0.0] * len(acts)
            for act, later_s in zip(acts, pauses, strict=True):
                tasks.start_soon(watch, act, later_s)
        ended = await read_reasons(db)  # a decision about a VM of which something was said meanwhile is dropped
    assert deadlocks == []
    assert ended >= CARRIED_OUT


async def read_reasons(db: Db) -> set[str]:
    async with db.connection() as conn:
        return {row["reason"] for row in await fetch(conn, "SELECT DISTINCT reason FROM event")}


async def test_what_a_vm_says_of_itself_does_not_put_off_its_end(db: Db, world: World) -> None:
    name = NAMES[0]
    async with db.connection() as conn:
        await conn.execute("UPDATE vm SET phase = 'draining' WHERE hostname = %s", (name,))
        await conn.execute("UPDATE seat SET state = 'draining' WHERE hostname = %s", (name,))
    versions = {name: (await read_versions(db))[name]}
    async with transaction(db) as conn:
        assert await record_reports(conn, [Report(name, in_use=True, cloud_init_s=3.0)])
    async with transaction(db) as conn:
        assert await check_rows(conn, POOL, versions, [name]) == []


async def test_poll_during_a_cordon_frees_no_seat(db: Db, world: World) -> None:
    name = NAMES[0]
    freed: list[object] = []

    async def poll() -> None:
        async with transaction(db) as conn:
            freed.append(await free_seats(conn, [name]))

    async with anyio.create_task_group() as tasks, transaction(db) as conn:
        await lock_pool(conn, POOL)
        assert await cordon_vm(conn, name, True)
        await close_seat(conn, POOL, name)
        tasks.start_soon(poll)
        await _wait_for_a_blocked_poll(db)
    assert freed == [[]]
    async with db.connection() as conn:
        assert await fetch_one(conn, "SELECT state FROM seat WHERE hostname = %s", (name,)) == {"state": "closed"}


WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def _wait_for_a_blocked_poll(db: Db) -> None:
    with anyio.fail_after(20):
        while True:
            async with db.connection() as conn:
                if await fetch_one(conn, WAITING):
                    return
            await anyio.sleep(0.02)
