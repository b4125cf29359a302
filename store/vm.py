"""Rows of client VMs as the API reads them, and what VMs say of themselves, always written for many in one statement.

A heartbeat goes to `vm_heard`, apart from `vm`; reports touch a row of `vm` only when they say something new.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from schemas.frozen import Frozen
from schemas.vm import GpuHealth, Phase, Vm, VmStatus
from store.db import Connection, fetch, fetch_one
from store.state import VM_COLUMNS

ONE = f"SELECT {VM_COLUMNS} WHERE v.hostname = %s"


async def read_vm(conn: Connection, hostname: str) -> Vm | None:
    """One VM, also one that is gone."""
    row = await fetch_one(conn, ONE, (hostname,))
    return Vm.model_validate(row) if row else None


LIST = f"""
SELECT {VM_COLUMNS}
 WHERE v.phase <> 'gone' AND (%(pool)s::text IS NULL OR v.pool = %(pool)s)
   AND (%(status)s::text IS NULL OR coalesce(v.status, 'initializing') = %(status)s) AND v.hostname > %(after)s
 ORDER BY v.hostname LIMIT %(limit)s
"""


async def list_vms(
    conn: Connection, *, pool: str | None = None, status: str | None = None, after: str = "", limit: int = 100
) -> Sequence[Vm]:
    """VMs that are not gone, by host name; `after` is the cursor."""
    rows = await fetch(conn, LIST, {"pool": pool, "status": status, "after": after, "limit": limit})
    return [Vm.model_validate(row) for row in rows]


STATUS = """
SELECT coalesce(status, 'initializing') AS status FROM vm
 WHERE phase IN ('planned', 'live', 'draining') AND hostname = %s
"""


async def read_status(conn: Connection, hostname: str) -> str | None:
    """The last word of a VM that exists: `initializing` until it has said any."""
    row = await fetch_one(conn, STATUS, (hostname,))
    return row["status"] if row else None


STATUSES = """
SELECT json_object_agg(hostname, coalesce(status, 'initializing'))::text AS statuses FROM vm
 WHERE phase IN ('planned', 'live', 'draining')
"""


async def render_statuses(conn: Connection) -> str | None:
    """The same of all VMs as a JSON object, made where the rows are; None when there are none."""
    row = await fetch_one(conn, STATUSES)
    return row["statuses"] if row else None


class Caller(Frozen):
    """What has to be known of a VM to hear it: who it is, and what it said last."""

    hostname: str
    pool: str
    phase: Phase
    token_version: int
    public_ip: str | None
    private_ip: str | None
    status: VmStatus | None
    gpu_health: GpuHealth | None
    in_use: bool
    reporter: bool
    reclaim_at: datetime | None
    renewable: bool  # its host has said the digest of its key
    code_version: int | None  # of its person's command; None: nobody has it
    delivered_version: int | None


CALLERS = """
SELECT v.hostname, v.pool, v.phase, v.token_version, v.public_ip, v.private_ip, v.status, v.gpu_health,
       v.in_use, v.reporter, v.reclaim_at, v.renewal_key IS NOT NULL AS renewable, a.code_version, a.delivered_version
  FROM vm v LEFT JOIN assignment a ON a.hostname = v.hostname AND a.status = 'active'
 WHERE v.hostname = ANY(%s) AND v.phase <> 'gone'
"""


async def read_callers(conn: Connection, hostnames: Sequence[str]) -> dict[str, Caller]:
    """Those of these names that are VMs, by name."""
    return {row["hostname"]: Caller(**row) for row in await fetch(conn, CALLERS, (list(hostnames),))}


GENERATIONS = "SELECT hostname, token_version FROM vm WHERE phase <> 'gone'"


async def read_token_versions(conn: Connection) -> dict[str, int]:
    """The generation of every present VM's token."""
    return {row["hostname"]: row["token_version"] for row in await fetch(conn, GENERATIONS)}


@dataclass(frozen=True, slots=True)
class Report:
    """What a VM says of itself; None: it said nothing about that. Durations in seconds."""

    hostname: str
    status: VmStatus | None = None
    gpu_health: GpuHealth | None = None
    in_use: bool | None = None
    reporter: bool | None = None
    reclaim_at: datetime | None = None
    cloud_init_s: float | None = None
    container_s: float | None = None
    cloud_init_started_at: datetime | None = None
    cloud_init_ended_at: datetime | None = None
    container_started_at: datetime | None = None
    container_ended_at: datetime | None = None

    def said(self) -> dict[str, Any]:
        """What it does say, by column."""
        return {name: value for name in REPORT_COLUMNS if (value := getattr(self, name)) is not None}

    @property
    def is_trouble(self) -> bool:
        """Whether the controller ought to look at once."""
        return self.status is VmStatus.ERROR or self.gpu_health is GpuHealth.UNHEALTHY or self.reclaim_at is not None


REPORT_TYPES = {
    "status": "text",
    "gpu_health": "text",
    "in_use": "bool",
    "reporter": "bool",
    "reclaim_at": "timestamptz",
    "cloud_init_s": "float8",
    "container_s": "float8",
    "cloud_init_started_at": "timestamptz",
    "cloud_init_ended_at": "timestamptz",
    "container_started_at": "timestamptz",
    "container_ended_at": "timestamptz",
}
REPORT_COLUMNS = tuple(REPORT_TYPES)
_SAID = ", ".join(f"coalesce(r.{name}, v.{name})" for name in REPORT_COLUMNS)
RECORD = f"""
WITH r AS (SELECT * FROM json_to_recordset(%(reports)s::json)
                    AS r (hostname text, {", ".join(f"{name} {kind}" for name, kind in REPORT_TYPES.items())})),
     -- In one order, so that two processes that write overlapping batches wait for each other instead of deadlocking.
     locked AS (SELECT hostname FROM vm WHERE hostname = ANY(%(names)s) ORDER BY hostname FOR NO KEY UPDATE)
UPDATE vm v SET ({", ".join(REPORT_COLUMNS)}) = ROW({_SAID}),
                idle_since = CASE WHEN coalesce(r.in_use, v.in_use) THEN NULL
                                  WHEN r.in_use IS NULL THEN v.idle_since ELSE coalesce(v.idle_since, now()) END
  FROM r JOIN locked USING (hostname)
 WHERE v.hostname = r.hostname
   AND ({_SAID}) IS DISTINCT FROM ({", ".join(f"v.{name}" for name in REPORT_COLUMNS)})
RETURNING v.hostname, v.pool, v.status, v.gpu_health, v.reclaim_at
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """A VM whose row a report has changed, as it is now."""

    hostname: str
    pool: str
    status: VmStatus | None
    gpu_health: GpuHealth | None
    reclaim_at: datetime | None = None


async def record_reports(conn: Connection, reports: Sequence[Report]) -> list[Changed]:
    """Write what is new in these reports; each host name at most once in them. Only changed rows come back.

    The row's version stays: what a VM says of itself must not keep a decision about it from being carried out.
    """
    said = [{"hostname": report.hostname, **report.said()} for report in reports]
    params = {"names": [report.hostname for report in reports], "reports": json.dumps(said, default=str)}
    return [
        Changed(
            hostname=row["hostname"],
            pool=row["pool"],
            status=VmStatus(row["status"]) if row["status"] else None,
            gpu_health=GpuHealth(row["gpu_health"]) if row["gpu_health"] else None,
            reclaim_at=row["reclaim_at"],
        )
        for row in await fetch(conn, RECORD, params)
    ]


@dataclass(frozen=True, slots=True)
class Contact:
    """That a VM was heard of, from where, and the gauges that it sent along."""

    hostname: str
    address: str | None = None
    gauges: Mapping[str, Any] = field(default_factory=dict)


MOST_GAUGES = 100
GPU_BUSY = 5  # per cent: less than that is the desktop itself
HEARD = f"""
INSERT INTO vm_heard AS h (hostname, heard_at, address, gauges, gpu_active_at)
SELECT c.hostname, now(), c.address, c.gauges, CASE WHEN c.gauges->'gpu_utilization' >= '{GPU_BUSY}'::jsonb THEN now() END
  FROM unnest(%(hostname)s::text[], %(address)s::text[], %(gauges)s::jsonb[]) AS c (hostname, address, gauges)
 WHERE EXISTS (SELECT FROM vm v WHERE v.hostname = c.hostname AND v.phase <> 'gone')
 ORDER BY c.hostname
ON CONFLICT (hostname) DO UPDATE
   SET heard_at = excluded.heard_at, address = coalesce(excluded.address, h.address),
       gpu_active_at = coalesce(excluded.gpu_active_at, h.gpu_active_at),
       -- A VM that thinks up new names for ever keeps those that it sent last.
       gauges = CASE WHEN (SELECT count(*) FROM jsonb_object_keys(h.gauges || excluded.gauges)) <= {MOST_GAUGES}
                     THEN h.gauges || excluded.gauges ELSE excluded.gauges END
"""


async def write_heard(conn: Connection, contacts: Sequence[Contact]) -> None:
    """These VMs were heard of just now (the database's clock); each host name at most once."""
    if not contacts:
        return
    params = {
        "hostname": [contact.hostname for contact in contacts],
        "address": [contact.address for contact in contacts],
        "gauges": [Jsonb(dict(contact.gauges)) for contact in contacts],
    }
    await conn.execute(HEARD, params)


ASK_REBOOT = """
UPDATE vm SET reboot_asked_at = now()
 WHERE hostname = %s AND phase = 'live' AND NOT coalesce(reboot_asked_at > coalesce(rebooted_at, '-infinity')
                                                          AND reboot_asked_at > now() - interval '10 minutes', false)
RETURNING hostname
"""


async def ask_reboot(conn: Connection, hostname: str) -> bool:
    """Wish for a reboot, which the controller fulfils; False when one is wished for already.

    The row's version stays: a reboot changes nothing that a decision is about.
    """
    return await fetch_one(conn, ASK_REBOOT, (hostname,)) is not None


CORDON = """
UPDATE vm SET cordoned = %(cordoned)s, version = version + 1
 WHERE hostname = %(hostname)s AND phase IN ('planned', 'live') AND cordoned <> %(cordoned)s RETURNING hostname
"""


async def cordon_vm(conn: Connection, hostname: str, cordoned: bool) -> bool:
    """Whether new people may be given this VM; False when nothing had to change."""
    return await fetch_one(conn, CORDON, {"hostname": hostname, "cordoned": cordoned}) is not None
