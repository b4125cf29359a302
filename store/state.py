"""Reads the whole world of a tick, desired and observed, in one REPEATABLE READ transaction.

Called by the controller's loop, and by the API for previews; writes nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from schemas.pool import Asked, Attendance, Base, GivenUp, PoolRow, Refusal, Run
from schemas.price import Approval, LivePrice, Usage
from schemas.snapshot import Listing, Snapshot
from schemas.vm import Instance, Vm
from store.approval import OF_NEWEST
from store.course import ATTENDANCE, STARTS
from store.db import Connection, Db, fetch
from store.desired import parse_document
from store.facts import ASKED, GIVEN_UP
from store.usage import PRICES, USAGE_FOR_BUDGET

NEWEST = """
SELECT now() AS now, d.id AS deployment_id, d.created_at AS deployed_at, v.version, v.document::text AS document
  FROM deployment d CROSS JOIN LATERAL (SELECT * FROM desired_version ORDER BY version DESC LIMIT 1) v
"""

POOLS = """
SELECT name, generation, observed_generation, counter, shards, removed, ami, ami_source, startup_script,
       failures, failed_at, failure, batch, conditions
  FROM pool ORDER BY name
"""

VM_COLUMNS = """
v.hostname, v.pool, v.region, v.shard, v.generation, v.spec_hash, v.spec, v.phase, v.in_state, v.version, v.token_version,
v.reason, v.instance_id, v.public_ip, v.private_ip, v.zone, v.cordoned, v.status, v.gpu_health, v.in_use, v.reporter,
v.created_at, v.launched_at, v.ready_at, v.started_at, v.reboot_asked_at, v.rebooted_at, v.reclaim_at, v.renewing_since, v.idle_since, h.heard_at, h.gpu_active_at,
coalesce(s.state, 'closed') AS seat, s.assignment_id, a.bound_at, a.ends_at, coalesce(a.warning, '') AS warning, a.warning_ends_at,
i.state AS instance_state, i.missing_since,
CASE WHEN i.security_groups IS NOT NULL AND i.missing_since IS NULL
     THEN json_build_object('instance_type', i.instance_type, 'image_id', i.image_id, 'security_groups', i.security_groups,
                            'profile', i.profile, 'tags', i.tags) END AS listed
  FROM vm v
  LEFT JOIN vm_heard h USING (hostname)
  LEFT JOIN seat s USING (hostname)
  LEFT JOIN assignment a ON a.id = s.assignment_id AND a.status = 'active'
  LEFT JOIN instance i ON i.instance_id = v.instance_id
"""

PRESENT_VMS = f"SELECT {VM_COLUMNS} WHERE v.phase <> 'gone' ORDER BY v.hostname"

UNRECORDED = """
SELECT * FROM instance i
 WHERE NOT EXISTS (SELECT FROM vm v WHERE v.instance_id = i.instance_id AND v.phase <> 'gone')
   AND i.state <> 'terminated' AND i.missing_since IS NULL
 ORDER BY instance_id
"""

GONE_BUT_SEEN = f"""
SELECT {VM_COLUMNS}
 WHERE v.phase = 'gone' AND v.hostname = ANY(ARRAY(
       SELECT hostname FROM instance WHERE state <> 'terminated' AND missing_since IS NULL))
"""
"""An array, so that each is looked up: a join would read all that were ever gone."""

BASES = "SELECT pool, region, wanted, applied_hash, outputs, drift FROM base ORDER BY pool, region"

NEWEST_RUNS = """
SELECT r.id, r.state_key, r.pool, r.token, r.started_at, r.must_end_by, r.ended_at, r.outcome, r.cause, r.message,
       r.creates, r.imports, r.deletes
  FROM (SELECT DISTINCT pool || '/' || region || '/' || shard AS state_key FROM vm WHERE phase <> 'gone'
        UNION SELECT pool || '/' || region || '/base' FROM base) k
 CROSS JOIN LATERAL (SELECT * FROM run WHERE run.state_key = k.state_key ORDER BY id DESC LIMIT 1) r
"""

REFUSALS = "SELECT * FROM refusal WHERE refused_at > now() - interval '1 hour' ORDER BY region, zone, instance_type"

API_UP_SINCE = "SELECT min(up_since) AS up_since FROM api_process WHERE seen_at > now() - interval '30 seconds'"


@dataclass(frozen=True, slots=True)
class Observation:
    """What only the observing process knows: how fresh its listings are, and whether it may act at all."""

    listings: Mapping[str, Listing]
    observe_only: str | None = None
    settle_s: float = 60.0


READS = {
    "newest": NEWEST,
    "pools": POOLS,
    "vms": PRESENT_VMS,
    "unrecorded": UNRECORDED,
    "gone": GONE_BUT_SEEN,
    "bases": BASES,
    "runs": NEWEST_RUNS,
    "refusals": REFUSALS,
    "asked": ASKED,
    "given_up": GIVEN_UP,
    "attendance": ATTENDANCE,
    "starts": STARTS,
    "api": API_UP_SINCE,
    "prices": PRICES,
    "usage": USAGE_FOR_BUDGET,
    "approval": OF_NEWEST,
}


async def read_snapshot(db: Db, observation: Observation) -> Snapshot | None:
    """The world at one instant of the database's clock, or None while no desired version was ever accepted."""
    async with db.connection() as conn, one_view(conn):
        rows = {name: await fetch(conn, sql) for name, sql in READS.items()}
    if not rows["newest"]:
        return None
    (newest,) = rows["newest"]
    return Snapshot(
        now=newest["now"],
        deployment_id=newest["deployment_id"],
        deployed_at=newest["deployed_at"],
        version=newest["version"],
        lab=parse_document(newest["document"]),
        pools={row["name"]: PoolRow.model_validate(row) for row in rows["pools"]},
        vms=tuple(map(Vm.model_validate, rows["vms"])),
        instances=tuple(map(Instance.model_validate, rows["unrecorded"])),
        gone={row["hostname"]: Vm.model_validate(row) for row in rows["gone"]},
        listings=dict(observation.listings),
        bases=tuple(map(Base.model_validate, rows["bases"])),
        runs={row["state_key"]: Run.model_validate(row) for row in rows["runs"]},
        refusals=tuple(map(Refusal.model_validate, rows["refusals"])),
        attendance={row.pop("course"): Attendance.model_validate(row) for row in rows["attendance"]},
        starts=_by_pool(rows["starts"]),
        given_up=tuple(GivenUp(**row) for row in rows["given_up"]),
        asked={row.pop("pool"): Asked.model_validate(row) for row in rows["asked"]},
        api_up_since=rows["api"][0]["up_since"],
        observe_only=observation.observe_only,
        settle_s=observation.settle_s,
        live_prices=tuple(LivePrice(**row) for row in rows["prices"]),
        usage=tuple(Usage(**row) for row in rows["usage"]),
        approval=next((Approval(**row) for row in rows["approval"]), None),
    )


def _by_pool(starts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    by_pool: dict[str, dict[str, float]] = {}
    for row in starts:
        by_pool.setdefault(row["pool"], {})[row["instance_type"]] = row["took"]
    return by_pool


@asynccontextmanager
async def one_view(conn: Connection) -> AsyncIterator[None]:
    """A read-only REPEATABLE READ transaction on an autocommit connection: every statement sees the same instant."""
    await conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        await conn.execute("COMMIT")
