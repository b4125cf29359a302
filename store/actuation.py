"""The rows that actuation works from, and what it writes to them: instances recorded, failures counted, refusals remembered.

Called by `controller.actuate` and what belongs to it; every write is inside a fenced transaction of the caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from schemas.pool import Base
from schemas.tfstate import StateVm
from schemas.vm import Vm
from store.db import Connection, fetch, fetch_one
from store.seat import lock_pool, lock_vms
from store.state import VM_COLUMNS

BATCH_WITHOUT_LIMIT = 64


@dataclass(frozen=True, slots=True)
class PoolRows:
    """All of one pool that actuation compares, at one moment of the database's clock."""

    name: str
    now: datetime
    vms: tuple[Vm, ...]
    seen: frozenset[str]  # host names that a listed instance carries which is not terminated
    bases: tuple[Base, ...]
    batch: int | None  # creates allowed at once
    failures: int  # creating runs that failed in a row, and when the last one did
    failed_at: datetime | None


ROW = "SELECT name, now() AS now, batch, failures, failed_at FROM pool WHERE name = %s"
VMS = f"SELECT {VM_COLUMNS} WHERE v.phase <> 'gone' AND v.pool = %s ORDER BY v.hostname"
SEEN = """
SELECT DISTINCT i.hostname FROM instance i JOIN vm v USING (hostname)
 WHERE v.pool = %s AND v.phase <> 'gone' AND i.state <> 'terminated' AND i.missing_since IS NULL
"""
BASES = "SELECT pool, region, wanted, applied_hash, outputs, drift FROM base WHERE pool = %s ORDER BY region"


async def read_pool(conn: Connection, pool: str) -> PoolRows | None:
    """None when there is no such pool."""
    row = await fetch_one(conn, ROW, (pool,))
    if row is None:
        return None
    return PoolRows(
        **row,
        vms=tuple(Vm.model_validate(vm) for vm in await fetch(conn, VMS, (pool,))),
        seen=frozenset(seen["hostname"] for seen in await fetch(conn, SEEN, (pool,))),
        bases=tuple(Base.model_validate(base) for base in await fetch(conn, BASES, (pool,))),
    )


MOVED = """
SELECT r.hostname FROM unnest(%(hostname)s::text[], %(version)s::bigint[]) AS r (hostname, version)
  LEFT JOIN vm v ON v.hostname = r.hostname AND v.version = r.version
  LEFT JOIN seat s ON s.hostname = r.hostname
 WHERE v.hostname IS NULL
    OR (r.hostname = ANY(%(deletes)s) AND (v.phase NOT IN ('draining', 'lost') OR s.state = 'taken'))
 ORDER BY 1
"""
APPLYING = "UPDATE vm SET applied_at = now() WHERE hostname = ANY(%s) AND applied_at IS NULL"


async def check_rows(conn: Connection, pool: str, versions: Mapping[str, int], deletes: Iterable[str]) -> list[str]:
    """Just before an apply: the host names whose row moved on since the plan, or that may not be ended (any more).

    Under the pool's lock, so that nobody is bound to a VM between this look and the commit.
    """
    if deletes := list(deletes):
        await lock_pool(conn, pool)
    await lock_vms(conn, list(versions))
    params = {"hostname": list(versions), "version": list(versions.values()), "deletes": deletes}
    moved = [row["hostname"] for row in await fetch(conn, MOVED, params)]
    if not moved:
        await conn.execute(APPLYING, (list(versions),))
    return moved


CREATED = """
WITH v AS (UPDATE vm SET instance_id = c.instance_id, terraform_s = c.seconds, launched_at = coalesce(vm.launched_at, now()),
              phase = CASE vm.phase WHEN 'planned' THEN 'live' ELSE vm.phase END, version = version + 1
  FROM unnest(%(hostname)s::text[], %(instance_id)s::text[], %(seconds)s::float8[]) AS c (hostname, instance_id, seconds)
 WHERE vm.hostname = c.hostname AND vm.instance_id IS NULL
RETURNING vm.hostname)
SELECT pg_notify('assignment', hostname) FROM v  -- one that asks for a person already can have one from now on
"""


@dataclass(frozen=True, slots=True)
class Created:
    hostname: str
    instance_id: str
    seconds: float  # from Terraform's "Creating..." to "Creation complete"


async def record_created(conn: Connection, created: Sequence[Created]) -> None:
    """While the apply goes on: these VMs can be met from now on. Whether the state holds them is known at its end."""
    params: dict[str, list[Any]] = {
        "hostname": [c.hostname for c in created],
        "instance_id": [c.instance_id for c in created],
        "seconds": [c.seconds for c in created],
    }
    await lock_vms(conn, params["hostname"])
    await conn.execute(CREATED, params)


STILL_HELD = """
UPDATE vm SET phase = 'lost', ended_at = NULL, reason = 'Terraform still holds it', version = version + 1
 WHERE hostname = ANY(%s) AND phase = 'gone'
"""
RECORD = """
WITH s AS (SELECT * FROM jsonb_to_recordset(%(vms)s)
                    AS s (hostname text, instance_id text, public_ip text, private_ip text, zone text)),
     n AS (SELECT v.hostname, s.hostname IS NOT NULL AS in_state,
                  coalesce(s.instance_id, v.instance_id) AS instance_id,
                  coalesce(v.public_ip, s.public_ip) AS public_ip, coalesce(v.private_ip, s.private_ip) AS private_ip,
                  coalesce(v.zone, s.zone) AS zone,
                  CASE WHEN s.hostname IS NOT NULL THEN coalesce(v.launched_at, now()) ELSE v.launched_at END AS launched_at,
                  CASE WHEN s.hostname IS NOT NULL AND v.phase = 'planned' THEN 'live' ELSE v.phase END AS phase
             FROM vm v LEFT JOIN s USING (hostname)
            WHERE v.pool = %(pool)s AND v.region = %(region)s AND v.shard = %(shard)s AND v.phase <> 'gone'
            ORDER BY v.hostname FOR NO KEY UPDATE OF v)
UPDATE vm SET in_state = n.in_state, instance_id = n.instance_id, public_ip = n.public_ip, private_ip = n.private_ip,
              zone = n.zone, launched_at = n.launched_at, phase = n.phase, version = version + 1
  FROM n
 WHERE vm.hostname = n.hostname
   AND (vm.in_state, vm.instance_id, vm.public_ip, vm.private_ip, vm.zone, vm.launched_at, vm.phase)
       IS DISTINCT FROM (n.in_state, n.instance_id, n.public_ip, n.private_ip, n.zone, n.launched_at, n.phase)
"""


async def record_instances(conn: Connection, pool: str, region: str, shard: int, vms: Iterable[StateVm]) -> None:
    """Bring the rows of a shard to what its state holds: which are in it, and the instances that they have.

    A row that was over while the state could not be read is lost again, so that Terraform forgets it, too.
    """
    vms = tuple(vms)
    rows = [
        {
            "hostname": vm.hostname,
            "instance_id": vm.instance_id,
            "public_ip": vm.public_ip,
            "private_ip": vm.private_ip,
            "zone": vm.zone,
        }
        for vm in vms
    ]
    await conn.execute(STILL_HELD, ([vm.hostname for vm in vms],))
    await conn.execute(RECORD, {"vms": Jsonb(rows), "pool": pool, "region": region, "shard": shard})


DRAIN = """
WITH v AS (UPDATE vm SET phase = 'draining', reason = %(reason)s, version = version + 1
            WHERE hostname = ANY(%(hostnames)s) AND phase IN ('planned', 'live')
              AND NOT EXISTS (SELECT FROM seat WHERE seat.hostname = vm.hostname AND seat.state = 'taken')
        RETURNING hostname)
UPDATE seat SET state = 'draining', free_since = NULL FROM v WHERE seat.hostname = v.hostname RETURNING seat.hostname
"""


async def drain_vms(conn: Connection, pool: str, hostnames: Sequence[str], reason: str) -> list[str]:
    """End VMs whose creation failed, unless somebody has one; those that end. Takes the pool's lock."""
    await lock_pool(conn, pool)
    await lock_vms(conn, hostnames)
    rows = await fetch(conn, DRAIN, {"hostnames": list(hostnames), "reason": reason})
    return [row["hostname"] for row in rows]


HEARD = "SELECT hostname FROM vm_heard WHERE hostname = ANY(%s)"


async def read_heard(conn: Connection, hostnames: Sequence[str]) -> frozenset[str]:
    """Those of these VMs that have ever been heard of."""
    return frozenset(row["hostname"] for row in await fetch(conn, HEARD, (list(hostnames),)))


DROP = """
UPDATE vm SET instance_id = NULL, phase = 'planned', version = version + 1
 WHERE hostname = ANY(%s) AND NOT in_state AND phase IN ('planned', 'live') AND ready_at IS NULL AND applied_at IS NOT NULL
"""


async def drop_imports(conn: Connection, hostnames: Sequence[str]) -> None:
    """An instance that could not be imported is forgotten and observed again; one that was ever ready is left to its listing."""
    await conn.execute(DROP, (list(hostnames),))


REFUSE = """
INSERT INTO refusal (region, zone, instance_type, market, cause, refused_at)
SELECT DISTINCT region, CASE WHEN %(cause)s = 'quota' THEN '' ELSE coalesce(spec->>'zone', '') END, spec->>'instance_type',
                spec->>'market', %(cause)s, now()
  FROM vm WHERE hostname = ANY(%(hostnames)s)
ON CONFLICT (region, zone, instance_type, market) DO UPDATE SET refused_at = excluded.refused_at, cause = excluded.cause
"""


FORGET_REFUSALS = "DELETE FROM refusal WHERE refused_at < now() - interval '1 day'"


async def write_refusals(conn: Connection, hostnames: Sequence[str], cause: str) -> None:
    """Remember that AWS had no `capacity` where these VMs were to be, or the account no `quota`; what is a day old is forgotten."""
    await conn.execute(REFUSE, {"hostnames": list(hostnames), "cause": cause})
    await conn.execute(FORGET_REFUSALS)


FAILED = "UPDATE pool SET failures = failures + 1, failed_at = now(), failure = %s, batch = 1 WHERE name = %s"
CREATED_ALL = """
UPDATE pool SET failures = 0, failed_at = NULL, failure = NULL,
                batch = CASE WHEN batch * 2 >= %(without_limit)s THEN NULL ELSE batch * 2 END
 WHERE name = %(pool)s AND (failures > 0 OR batch IS NOT NULL)
"""


async def count_failure(conn: Connection, pool: str, cause: str) -> None:
    """A creating run failed: the next creates go one at a time."""
    await conn.execute(FAILED, (cause, pool))


async def count_success(conn: Connection, pool: str) -> None:
    """A creating run succeeded: twice as many may go at once, and from 64 on any number."""
    await conn.execute(CREATED_ALL, {"pool": pool, "without_limit": BATCH_WITHOUT_LIMIT})


APPLIED = "UPDATE base SET applied_hash = %s, outputs = %s, drift = '' WHERE pool = %s AND region = %s"


async def record_base(conn: Connection, base: Base, applied_hash: str, outputs: Mapping[str, str]) -> None:
    await conn.execute(APPLIED, (applied_hash, Jsonb(dict(outputs)), base.pool, base.region))


FORGET_BASE = "DELETE FROM base WHERE pool = %s AND region = %s AND NOT wanted"


async def forget_base(conn: Connection, base: Base) -> None:
    """Nothing of it is left in AWS."""
    await conn.execute(FORGET_BASE, (base.pool, base.region))


SET_CONDITION = """
UPDATE pool SET conditions = conditions || jsonb_build_object(%(type)s::text, jsonb_build_object(
       'type', %(type)s::text, 'status', %(status)s::boolean, 'reason', %(reason)s::text, 'message', %(message)s::text,
       'since', CASE WHEN (conditions->%(type)s->>'status')::boolean = %(status)s THEN conditions->%(type)s->'since'
                     ELSE to_jsonb(now()) END))
 WHERE name = %(pool)s
   AND (coalesce((conditions->%(type)s->>'status')::boolean, false), conditions->%(type)s->>'message')
       IS DISTINCT FROM (%(status)s::boolean, CASE WHEN %(status)s THEN %(message)s::text ELSE conditions->%(type)s->>'message' END)
RETURNING name
"""


async def set_condition(conn: Connection, pool: str, kind: str, reason: str, message: str) -> bool:
    """This holds now; whether it says something new."""
    params = {"pool": pool, "type": kind, "status": True, "reason": reason, "message": message}
    return await fetch_one(conn, SET_CONDITION, params) is not None


async def clear_condition(conn: Connection, pool: str, kind: str, message: str) -> bool:
    """This holds no longer; whether it did before."""
    params = {"pool": pool, "type": kind, "status": False, "reason": "Cleared", "message": message}
    return await fetch_one(conn, SET_CONDITION, params) is not None
