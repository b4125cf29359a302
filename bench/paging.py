"""What an admin's page costs the server while there are a thousand VMs: real PostgreSQL, real HTTP, nothing kept between them."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import httpx

from bench.figure import Figure
from bench.ticking import settle
from sandbox import postgres
from store.db import open_db
from store.migrate import migrate
from tests.api.world import ADMIN, HASH, World, serving

VMS = 1_000
LIMIT_MS = 150
PAGES = {
    "dashboard": "/admin",
    "list of VMs": "/admin/instances?sort=heard",
    "list of VMs, filtered": "/admin/instances?words=pool7+t3&bucket=ready",
    "pool": "/admin/pools/pool3",
    "people": "/admin/assignments",
}
TIMES = 9


async def measure_admin_pages() -> list[Figure]:
    with TemporaryDirectory(prefix="lablink-bench-") as folder, postgres.start(Path(folder) / "pg") as server:
        await migrate(server.dsn)
        async with open_db(server.dsn) as db:
            await settle(db, server.dsn, VMS)
        async with serving(server.dsn, yaml=None, admin_user=ADMIN[0], admin_password_hash=HASH) as world:
            return [await _measure(world, name, path) for name, path in PAGES.items()]


async def _measure(world: World, name: str, path: str) -> Figure:
    """CPU time of API and client, which a busy machine does not lengthen. The slowest found the view of the fleet too old, and looked anew."""
    sizes, used_ms, took_ms = [], [], []
    for _ in range(TIMES):
        begun, used = perf_counter(), process_time()
        answer = await world.admin.get(path, headers={"Accept": "text/html"})
        used_ms.append((process_time() - used) * 1000)
        took_ms.append((perf_counter() - begun) * 1000)
        sizes.append(_check(answer))
    note = f"slowest {max(used_ms):,.0f} ms, on the clock {median(took_ms):,.0f} ms, {max(sizes) // 1024} KiB"
    return Figure(f"admin's page over {VMS:,} VMs: {name}", median(used_ms), LIMIT_MS, note=note)


def _check(answer: httpx.Response) -> int:
    answer.raise_for_status()
    assert "</html>" in answer.text
    return len(answer.content)
