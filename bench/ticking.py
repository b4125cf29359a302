"""What an idle tick costs: real PostgreSQL, a listing at hand, nothing to do."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from psycopg.types.json import Jsonb

from bench.figure import Curve, Figure, figure_of
from controller.loop import reconcile_once
from controller.world import World
from sandbox import postgres
from schemas.document import parse_lab
from schemas.snapshot import Listing
from schemas.vm import Vm
from store.db import Connection, Db, fetch_one, open_db, transaction
from store.desired import Change, append_version
from store.migrate import migrate
from tests.controller_world import lead_world
from tests.decide_world import AMI, REGION, build_row, build_vm

PER_POOL = 50
LIMITS_MS = {1_000: 150, 10_000: 1_200}
FLEETS = (10, 100, 1_000, 10_000)
TICKS = 15

INSERT_VM = """
INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, in_state, instance_id, status, reporter,
                created_at, launched_at, ready_at)
VALUES (%(hostname)s, %(pool)s, %(region)s, 1, 1, %(spec_hash)s, %(spec)s, 'live', true, %(instance_id)s, 'running', true,
        now() - interval '1 hour', now() - interval '1 hour', now() - interval '50 minutes')
"""
REST = """
INSERT INTO seat (hostname, pool, state, free_since) SELECT hostname, pool, 'free', now() FROM vm;
INSERT INTO vm_heard (hostname, heard_at) SELECT hostname, now() FROM vm;
INSERT INTO instance (instance_id, region, hostname, pool, generation, state, instance_type, image_id, launched_at, first_seen_at)
SELECT instance_id, region, hostname, pool, 1, 'running', 't3.large', 'ami', launched_at, launched_at FROM vm;
UPDATE pool SET counter = 50, shards = 1;
UPDATE base SET applied_hash = 'x';
INSERT INTO api_process (id, up_since, seen_at) VALUES (gen_random_uuid(), now() - interval '1 day', now() + interval '1 hour');
ANALYZE;
"""


async def measure_ticks() -> list[Figure | Curve]:
    measured = {count: await _measure(count) for count in FLEETS}
    curve = Curve("idle tick", "VMs", "ms", {count: median(took_ms) for count, (took_ms, _) in measured.items()})
    figures = [
        figure_of(f"idle tick over {count:,} VMs in {count // PER_POOL} pools", took_ms, LIMITS_MS[count], note=note)
        for count, (took_ms, note) in measured.items()
        if count in LIMITS_MS
    ]
    return [*figures, curve]


async def _measure(count: int) -> tuple[list[float], str]:
    """Milliseconds of each tick, and what was done in them."""
    with TemporaryDirectory(prefix="lablink-bench-") as folder, postgres.start(Path(folder) / "pg") as server:
        await migrate(server.dsn)
        async with open_db(server.dsn) as db:
            world = await settle(db, server.dsn, count)
            before = await read_activity(db)
            took_ms = [await time_tick(world) for _ in range(TICKS)]
            runs, number = await read_activity(db)
    # The second look takes one transaction number itself.
    note = f"{runs} Terraform runs, {number - before[1] - 1} writing transactions in {TICKS} ticks"
    return took_ms, note


async def settle(db: Db, dsn: str, count: int) -> World:
    """A fleet as declared and at rest: conditions are written, and a further tick has nothing to do."""
    each = min(count, PER_POOL)
    names = [f"pool{n}" for n in range(count // each)]
    pools = "".join(f"  {name}: {{size: {each}, instance_type: t3.large, ami: {AMI}}}\n" for name in names)
    text = f"pools:\n{pools}"
    async with transaction(db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "bench", "api"), None)
    world = await lead_world(db, dsn)
    world.sight.observe_only = None
    await reconcile_once(world)
    lab = parse_lab(text).lab
    vms = [build_vm(lab, build_row(name, ami=AMI), n) for name in names for n in range(1, each + 1)]
    async with transaction(db) as conn:
        await insert_vms(conn, vms)
    for _ in range(3):
        await time_tick(world)
    return world


async def insert_vms(conn: Connection, vms: list[Vm]) -> None:
    rows = [vm.model_dump(mode="json") | {"spec": Jsonb(vm.spec.model_dump(mode="json"))} for vm in vms]
    async with conn.cursor() as cursor:
        await cursor.executemany(INSERT_VM, rows)
    await conn.execute(REST)


async def time_tick(world: World) -> float:
    async with world.db.connection() as conn:
        now = await fetch_one(conn, "SELECT now() AS now")
    assert now is not None
    world.sight.listings[REGION] = Listing(region=REGION, taken_at=now["now"])
    begun = time.perf_counter()
    await reconcile_once(world)
    return (time.perf_counter() - begun) * 1000


async def read_activity(db: Db) -> tuple[int, int]:
    """How many Terraform runs there ever were, and a number that rises with each writing transaction."""
    async with db.connection() as conn:
        row = await fetch_one(conn, "SELECT (SELECT count(*) FROM run) AS runs, pg_current_xact_id()::text AS number")
    assert row is not None
    return int(row["runs"]), int(row["number"])
