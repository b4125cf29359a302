"""What each of the admin's pages costs the server while there are a thousand VMs: a real API process, real PostgreSQL, nothing kept between them."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import httpx

from bench.allocator import Allocator, running_api
from bench.figure import Figure, measure_spread
from bench.ticking import settle
from sandbox import postgres
from schemas.document import parse_lab
from store.db import open_db, transaction
from store.desired import Change, append_version, read_newest
from store.migrate import migrate

VMS = 1_000
LIMIT_MS = 150
HOSTNAME = "lablink-pool3-dev-7"
PAGES = {
    "dashboard": "/admin",
    "list of VMs": "/admin/instances?sort=heard",
    "list of VMs, filtered": "/admin/instances?words=pool7+t3&bucket=ready",
    "VMs to remove": "/admin/instances/delete",
    "VM": f"/admin/instances/{HOSTNAME}",
    "log": f"/admin/logs/{HOSTNAME}",
    "pool": "/admin/pools/pool3",
    "more VMs": "/admin/create",
    "desired state": "/admin/desired",
    "versions": "/admin/desired/versions",
    "version": "/admin/desired/versions/1",
    "Terraform runs": "/admin/runs",
    "run": "/admin/runs/1",
    "events": "/admin/events",
    "people": "/admin/assignments",
    "costs": "/admin/costs",
    "AWS credentials": "/admin/credentials",
    "API tokens": "/admin/tokens",
    "request form": "/",
}
PAUSE_S = 2.0  # after it, the view of the fleet is too old, and the next look at a page looks anew
TIMES = 6

BUSY_DAY = """
INSERT INTO assignment (id, pool, email, crd_code, pin, status, hostname, created_at, bound_at)
SELECT gen_random_uuid(), pool, 'person' || row_number() OVER () || '@example.org', 'x', '123456', 'active', hostname,
       now() - interval '1 hour', now() - interval '50 minutes'
  FROM (SELECT hostname, pool FROM vm ORDER BY hostname LIMIT 400) AS v;
UPDATE seat s SET state = 'taken', free_since = NULL, assignment_id = a.id FROM assignment a WHERE a.hostname = s.hostname;
INSERT INTO event (actor, subject, reason, message)
SELECT 'controller', 'vm/' || hostname, 'BecameReady', 'after ' || n || ' s' FROM vm, generate_series(1, 5) AS n;
INSERT INTO run (state_key, pool, token, must_end_by, ended_at, outcome, creates, output)
SELECT 'pool3/us-west-2/1', 'pool3', 1, now(), now(), 'succeeded', 5, repeat(E'aws_instance.vm: Creation complete after 12s\\n', 200)
  FROM generate_series(1, 200);
ANALYZE;
"""


def measure_admin_pages() -> list[Figure]:
    with TemporaryDirectory(prefix="lablink-bench-") as folder, postgres.start(Path(folder) / "pg") as server:
        anyio.run(_fill, server.dsn)
        with running_api(server.dsn, []) as allocator:
            url = f"http://127.0.0.1:{allocator.port}"
            headers = {**allocator.admin, "Accept": "text/html"}
            with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as admin:
                admin.get(
                    "/admin/tokens"
                ).raise_for_status()  # the first look at a password takes as long as bcrypt wants
                return [_measure(allocator, admin, name, path) for name, path in PAGES.items()]


async def _fill(dsn: str) -> None:
    await migrate(dsn)
    async with open_db(dsn) as db:
        await settle(db, dsn, VMS)
        async with transaction(db) as conn:
            newest = await read_newest(conn)
            assert newest is not None
            text = newest.yaml + "# a remark\n"
            await append_version(conn, Change(text, parse_lab(text).lab, "bench", "api"), newest.version)
        async with db.connection() as conn:
            await conn.execute(BUSY_DAY)


def _measure(allocator: Allocator, admin: httpx.Client, name: str, path: str) -> Figure:
    """The worst of some looks by the process's CPU time, which a busy machine does not lengthen; the first of them finds nothing at hand."""
    time.sleep(PAUSE_S)
    used_ms, took_ms, sizes = [], [], []
    for _ in range(TIMES):
        used, begun = _read_cpu_ms(allocator.pid), time.perf_counter()
        answer = admin.get(path).raise_for_status()
        took_ms.append((time.perf_counter() - begun) * 1000)
        used_ms.append(_read_cpu_ms(allocator.pid) - used)
        assert "</html>" in answer.text
        sizes.append(len(answer.content))
    clock = f"on the clock {max(took_ms):,.0f} and {median(took_ms):,.0f}"
    note = f"the median {median(used_ms):,.0f} ms; {clock}; {max(sizes) // 1024} KiB"
    name = f"slowest look at a page over {VMS:,} VMs: {name}"
    return Figure(name, max(used_ms), LIMIT_MS, note=note, repeats=TIMES, spread=measure_spread(used_ms))


def _read_cpu_ms(pid: int) -> float:
    """CPU time of a process's threads so far (proc(5), schedstat)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6
