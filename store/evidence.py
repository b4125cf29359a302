"""Evidence of failed VMs: written once by actuation before they end, read by the API, forgotten after two weeks."""

from dataclasses import dataclass

from schemas.evidence import Evidence
from store.db import Connection, fetch, fetch_one

LINES = 200

SUSPECTS = """
SELECT hostname, region, instance_id, reason FROM vm
 WHERE pool = %(pool)s AND phase = 'draining' AND instance_id IS NOT NULL
   AND (reason ~ '^(failed|silent|stopped): ' OR reason = 'its creation did not come to its end')
   AND NOT EXISTS (SELECT FROM evidence e WHERE e.hostname = vm.hostname)
 ORDER BY hostname LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A VM that is about to end because it did not work."""

    hostname: str
    region: str
    instance_id: str
    reason: str


async def list_suspects(conn: Connection, pool: str, limit: int) -> list[Suspect]:
    """Those of a pool of whom nothing is kept yet."""
    return [Suspect(**row) for row in await fetch(conn, SUSPECTS, {"pool": pool, "limit": limit})]


# The bound of time leaves out days in which it cannot have written anything that matters.
WRITE = f"""
INSERT INTO evidence (hostname, reason, console, log, run_id)
SELECT v.hostname, %(reason)s, %(console)s,
       coalesce((SELECT string_agg(line, E'\\n' ORDER BY number)
                   FROM (SELECT number, line FROM vm_log WHERE hostname = v.hostname AND at > now() - interval '2 days'
                          ORDER BY number DESC LIMIT {LINES}) AS last), ''),
       (SELECT max(id) FROM run WHERE state_key = v.pool || '/' || v.region || '/' || v.shard)
  FROM vm v WHERE v.hostname = %(hostname)s
ON CONFLICT (hostname) DO NOTHING
"""
FORGET = "DELETE FROM evidence WHERE at < now() - interval '14 days'"


async def write_evidence(conn: Connection, suspect: Suspect, console: str) -> None:
    """The end of its log and its last run are added here. What is two weeks old is forgotten."""
    params = {"hostname": suspect.hostname, "reason": suspect.reason, "console": console}
    await conn.execute(WRITE, params)
    await conn.execute(FORGET)


READ = "SELECT at, reason, console, log, run_id FROM evidence WHERE hostname = %s"


async def read_evidence(conn: Connection, hostname: str) -> Evidence | None:
    """None for a VM that did not fail, or long ago."""
    row = await fetch_one(conn, READ, (hostname,))
    return Evidence(**row) if row else None
