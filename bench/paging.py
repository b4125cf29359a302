"""How long the server takes for an admin's page while there are a thousand VMs: real PostgreSQL, real HTTP, nothing kept between them."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

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
    sizes, took_ms = [], []
    for _ in range(TIMES):
        begun = perf_counter()
        answer = await world.admin.get(path, headers={"Accept": "text/html"})
        took_ms.append((perf_counter() - begun) * 1000)
        sizes.append(_check(answer))
    return Figure(f"admin's page over {VMS:,} VMs: {name}", median(took_ms), LIMIT_MS, note=f"{max(sizes) // 1024} KiB")


def _check(answer: httpx.Response) -> int:
    answer.raise_for_status()
    assert "</html>" in answer.text
    return len(answer.content)
