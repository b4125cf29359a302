"""Figures of the whole lab for a monitor: people and their waits, starts, Terraform runs, who is up. Reads only, in one view."""

from dataclasses import dataclass
from typing import Any

from schemas.status import Condition
from store.db import Db, fetch
from store.deployment import read_deployment
from store.state import one_view

PEOPLE = "SELECT pool, status, count(*)::int AS n FROM assignment WHERE status <> 'ended' GROUP BY pool, status"

WAITS = """
SELECT pool, percentile_disc(ARRAY[0.5, 0.9, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM coalesce(bound_at, now()) - created_at)::float8) AS waits
  FROM assignment
 WHERE created_at > now() - interval '1 hour' AND (bound_at IS NOT NULL OR status = 'waiting')
 GROUP BY pool
"""

STARTS = """
SELECT pool, part, percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY s) AS took
  FROM vm CROSS JOIN LATERAL (VALUES ('terraform', terraform_s::float8), ('cloud-init', cloud_init_s::float8), ('container', container_s::float8),
                                     ('whole', extract(epoch FROM ready_at - created_at)::float8)) AS parts (part, s)
 WHERE ready_at > now() - interval '1 day' AND s IS NOT NULL
 GROUP BY pool, part
"""

RUNS = """
SELECT pool, outcome, coalesce(cause, '') AS cause, count(*)::int AS n,
       coalesce(max(extract(epoch FROM coalesce(ended_at, now()) - started_at)), 0)::float8 AS longest_s
  FROM run WHERE ended_at IS NULL OR ended_at > now() - interval '1 hour'
 GROUP BY pool, outcome, cause
"""

# A run whose plan changes nothing has no second part.
RUN_PARTS = """
SELECT pool, part, percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY s) AS took
  FROM run CROSS JOIN LATERAL (VALUES ('plan', extract(epoch FROM coalesce(applying_at, ended_at) - started_at)::float8),
                                      ('apply', extract(epoch FROM ended_at - applying_at)::float8)) AS parts (part, s)
 WHERE ended_at > now() - interval '1 hour' AND s IS NOT NULL
 GROUP BY pool, part
"""

UP = """
SELECT (SELECT count(*) FROM lease WHERE name = 'controller' AND expires_at > now())::int AS controllers,
       (SELECT coalesce(max(extract(epoch FROM expires_at - now())), 0) FROM lease WHERE name = 'controller')::float8 AS lease_s,
       (SELECT count(*) FROM api_process WHERE seen_at > now() - interval '1 minute')::int AS apis
"""

EVENTS = """
SELECT reason, count(*)::int AS n FROM (SELECT reason, at FROM event ORDER BY id DESC LIMIT 5000) AS newest
 WHERE at > now() - interval '1 hour' GROUP BY reason
"""

# Words with a digit (names, numbers, times) are left out of a reason, so that like is counted with like.
DECISIONS = """
SELECT pool, decision, why, count(*)::int AS n
  FROM (SELECT detail->>'pool' AS pool, reason AS decision, regexp_replace(message, '\\S*\\d\\S*', '…', 'g') AS why
          FROM (SELECT * FROM event ORDER BY id DESC LIMIT 5000) AS newest
         WHERE at > now() - interval '1 hour' AND actor = 'controller' AND detail ? 'pool') AS decided
 GROUP BY pool, decision, why ORDER BY n DESC LIMIT 200
"""

READS = {
    "people": PEOPLE,
    "waits": WAITS,
    "starts": STARTS,
    "runs": RUNS,
    "events": EVENTS,
    "decisions": DECISIONS,
    "parts": RUN_PARTS,
    "up": UP,
}


async def read_meter(db: Db) -> dict[str, list[dict[str, Any]]]:
    """Rows by the name of the figure; times in seconds, of the last hour (waits, runs) or day (starts)."""
    async with db.connection() as conn, one_view(conn):
        return {name: list(await fetch(conn, sql)) for name, sql in READS.items()}


LONGEST_WAITS = """
SELECT pool, max(extract(epoch FROM now() - created_at))::float8 AS value FROM assignment WHERE status = 'waiting' GROUP BY pool
"""

FAILED_RUNS = """
SELECT pool, count(*)::float8 AS value FROM run WHERE outcome = 'failed' AND ended_at > now() - interval '1 hour' GROUP BY pool
"""

START_P90 = """
SELECT pool, percentile_disc(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM ready_at - created_at)::float8) AS value
  FROM vm WHERE ready_at > now() - interval '1 day' GROUP BY pool
"""

# Before the first backup: since the deployment's record began.
BACKUP_AGE = """
SELECT extract(epoch FROM now() - coalesce(max(e.at), max(d.created_at)))::float8 AS value
  FROM deployment d LEFT JOIN event e ON e.subject = 'deployment' AND e.reason = 'BackedUp'
"""

BY_POOL = {"wait_longest_seconds": LONGEST_WAITS, "runs_failed": FAILED_RUNS, "start_p90_seconds": START_P90}


@dataclass(frozen=True, slots=True)
class Brief:
    """The few figures of the record that alarms watch: by name and pool, and how long ago the last backup was made, in seconds."""

    of_pools: dict[str, dict[str, float]]
    backup_age_s: float
    conditions: dict[str, Condition]  # the deployment's own


async def read_brief(db: Db) -> Brief:
    """Some statements over all pools at once; a pool without a figure is left out of it."""
    async with db.connection() as conn, one_view(conn):
        rows = {name: await fetch(conn, sql) for name, sql in BY_POOL.items()}
        (backup,) = await fetch(conn, BACKUP_AGE)
        conditions = (await read_deployment(conn)).conditions
    of_pools = {name: {row["pool"]: row["value"] for row in found} for name, found in rows.items()}
    return Brief(of_pools, backup["value"], conditions)
