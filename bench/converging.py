"""How soon Terraform starts after a change, and how long 50 VMs take beside a bare `terraform apply` of the same variables.

Both sides use the same moto, the same provider stand-in and the same module; ours also plans apart, checks the plan, fences and
records. A round each in turn, so that a busy moment of the machine falls on both.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import anyio

from bench.figure import Figure, figure_of
from controller.decide.tfvars import Site, Target, render_json, render_shard
from sandbox import postgres
from schemas.vm import Vm
from store.actuation import read_pool
from store.db import open_db
from store.migrate import migrate
from tests.system.lab import REGION, ROOT, Lab, open_lab

Made = tuple[Mapping[str, str], tuple[Vm, ...]]
SIZE = 50
LARGE, LARGE_RATIO, PATIENCE_S = 500, 0.6, 400.0
STARTS_S = 2.0  # until AWS has started an instance; the real one takes several times as long, which would favour us
ROUNDS = 3
START_LIMIT_MS = 500
RATIO_LIMIT = 1.15
# The harness looks at AWS ten times as often as a deployment does, and gives up a lease in a busy moment of the machine.
OF_THE_HARNESS = ("TICK_S", "LISTING_S", "BUSY_LISTING_S", "SETTLE_S", "LEASE_TTL_S", "RUN_TTL_S", "RUN_GRACE_S")

TIMES = """
SELECT extract(epoch FROM min(r.started_at) - v.at) * 1000 AS start_ms, extract(epoch FROM max(r.ended_at) - v.at) * 1000 AS all_ms
  FROM (SELECT at FROM desired_version ORDER BY version DESC LIMIT 1) v, run r
 WHERE r.started_at > v.at GROUP BY v.at
"""


def measure_convergence() -> list[Figure]:
    with TemporaryDirectory(prefix="lablink-bench-") as name, _converging_lab(Path(name)) as lab:
        rounds = [_measure_round(lab, Path(name) / f"bare{n}") for n in range(ROUNDS)]
    starts, ours, bare = zip(*rounds, strict=True)
    name = f"{SIZE} new VMs, from the change to the end of the run"
    return [
        figure_of("accepted change → Terraform starts", starts, START_LIMIT_MS),
        figure_of(name, ours, RATIO_LIMIT, baselines=bare),
    ]


def measure_large_convergence() -> list[Figure]:
    """Once, each side in an AWS of its own, since moto takes longer the more it holds, and one that takes its time as AWS does:
    where instances are there at once, a machine of two cores compares nothing but processor time."""
    slow = {"latency": {"RunInstances": STARTS_S}}
    with TemporaryDirectory(prefix="lablink-bench-") as name, _converging_lab(Path(name)) as lab:
        lab.fault(slow)
        lab.declare(LARGE)
        lab.wait("the runs' end", lambda: len(lab.live()) == LARGE, within_s=PATIENCE_S)
        ours, (_, vms) = float(lab.row(TIMES)["all_ms"]), anyio.run(_read_vms, lab.dsn)
        runs = lab.row("SELECT count(*) AS runs FROM run WHERE creates > 0")["runs"]
    with TemporaryDirectory(prefix="lablink-bench-") as name, _converging_lab(Path(name)) as lab:
        base, _ = anyio.run(_read_vms, lab.dsn)
        lab.fault(slow)
        bare = _time_bare(lab, Path(name) / "bare", (base, vms), destroy=False)
    name = f"{LARGE} new VMs, from the change to the end of the last run"
    note = f"{runs} runs, beside one of one state; AWS takes {STARTS_S:.0f} s to start an instance"
    return [Figure(name, ours, LARGE_RATIO, baseline=bare, note=note)]


@contextmanager
def _converging_lab(folder: Path) -> Iterator[Lab]:
    """At rest, with its base made."""
    with postgres.start(folder / "pg") as server:
        anyio.run(migrate, server.dsn)
        (inside := folder / "lab").mkdir()
        with open_lab(server.dsn, inside) as lab:
            for name in OF_THE_HARNESS:
                del lab.environment[f"LABLINK_{name}"]
            lab.declare(0)
            lab.start_controller()
            lab.wait("the base", lambda: lab.rows("SELECT FROM base WHERE applied_hash IS NOT NULL"))
            yield lab


def _measure_round(lab: Lab, folder: Path) -> tuple[float, float, float]:
    """Milliseconds: change to first run, change to end of the last run, the bare apply."""
    lab.declare(SIZE)
    lab.wait("the run's end", lambda: len(lab.live()) == SIZE)
    times = lab.row(TIMES)
    vms = anyio.run(_read_vms, lab.dsn)
    lab.declare(0)
    lab.wait("their end", lambda: not lab.present(), within_s=120)
    return float(times["start_ms"]), float(times["all_ms"]), _time_bare(lab, folder, vms)


async def _read_vms(dsn: str) -> Made:
    async with open_db(dsn) as db, db.connection() as conn:
        pool = await read_pool(conn, "client")
    assert pool is not None
    return pool.bases[0].outputs, pool.vms


def _time_bare(lab: Lab, folder: Path, made: Made, *, destroy: bool = True) -> float:
    """`terraform apply -auto-approve` of the same VMs in a deployment of its own, then its end."""
    base, vms = made
    site = Site(
        "lablink",
        str(uuid4()),
        "bare",
        REGION,
        "123456789012",
        lab.environment.get("LABLINK_ALLOCATOR_URL", "http://a.test"),
    )
    variables = render_shard(site, Target("client", REGION, base, vms, {}), b"secret")
    shutil.copytree(ROOT / "terraform" / "vms", folder)
    (folder / "bare.tfvars.json").write_text(render_json(variables))
    _terraform(lab, folder, "init", "-input=false")
    begun = time.perf_counter()
    _terraform(lab, folder, "apply", "-auto-approve", "-input=false", "-var-file=bare.tfvars.json")
    took_ms = (time.perf_counter() - begun) * 1000
    if destroy:
        _terraform(lab, folder, "destroy", "-auto-approve", "-input=false", "-var-file=bare.tfvars.json")
    return took_ms


def _terraform(lab: Lab, folder: Path, *arguments: str) -> None:
    environment: dict[str, Any] = {**lab.environment, "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"terraform {arguments[0]} failed: {done.stderr[-2000:]}")
