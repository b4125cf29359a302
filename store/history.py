"""What was, for pages: VMs by stage over time, requests and their waits, start-up times, who had which VM. Reads only.

All of it is derived from the instants that rows keep anyway, so nothing is sampled and an idle system writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.frozen import Frozen
from store.db import Connection, fetch

STAGES = """
WITH v AS (SELECT created_at, CASE WHEN ready_at > e.at THEN NULL ELSE ready_at END AS ready_at, e.at AS broken_at, ended_at
             FROM vm LEFT JOIN evidence e USING (hostname)
            WHERE (phase <> 'gone' OR ended_at > now() - %(hours)s * interval '1 hour') AND (%(pool)s::text IS NULL OR pool = %(pool)s)),
     a AS (SELECT bound_at, ended_at FROM assignment
            WHERE bound_at IS NOT NULL AND (ended_at IS NULL OR ended_at > now() - %(hours)s * interval '1 hour')
              AND (%(pool)s::text IS NULL OR pool = %(pool)s)),
     happened (at, starting, up, broken, assigned) AS (
          SELECT created_at, 1, 0, 0, 0 FROM v
           UNION ALL SELECT ready_at, -1, 1, 0, 0 FROM v
           UNION ALL SELECT broken_at, -(ready_at IS NULL)::int, -(ready_at IS NOT NULL)::int, 1, 0 FROM v
           UNION ALL SELECT ended_at, -(broken_at IS NULL AND ready_at IS NULL)::int, -(broken_at IS NULL AND ready_at IS NOT NULL)::int,
                            -(broken_at IS NOT NULL)::int, 0 FROM v
           UNION ALL SELECT bound_at, 0, 0, 0, 1 FROM a
           UNION ALL SELECT ended_at, 0, 0, 0, -1 FROM a),
     changes AS (  -- by the oldest step that already knows of them
          SELECT least(%(steps)s, floor(extract(epoch FROM now() - at) / %(step_s)s))::int AS n,
                 sum(starting) AS starting, sum(up) AS up, sum(broken) AS broken, sum(assigned) AS assigned
            FROM happened WHERE at <= now() GROUP BY 1)
SELECT extract(epoch FROM now() - n * %(step_s)s * interval '1 second')::float8 AS at,
       coalesce(sum(starting) OVER until, 0)::int AS starting, coalesce(sum(up) OVER until, 0)::int AS up,
       coalesce(sum(broken) OVER until, 0)::int AS broken, coalesce(sum(assigned) OVER until, 0)::int AS assigned
  FROM generate_series(0, %(steps)s) AS n LEFT JOIN changes USING (n)
WINDOW until AS (ORDER BY n DESC) ORDER BY n DESC
"""
"""What changed at each step, summed up: one look at each row, where counting at each step would be hundreds."""


async def read_stages(conn: Connection, hours: int, steps: int, pool: str | None = None) -> list[dict[str, Any]]:
    """VMs that were starting, up, broken (given up, not yet ended) and assigned at each step of the last hours, the last one now; `at` in epoch seconds."""
    params = {"hours": hours, "steps": steps, "step_s": hours * 3600 / steps, "pool": pool}
    return list(await fetch(conn, STAGES, params))


REQUESTS = """
WITH asked AS (
     SELECT date_bin(%(step_s)s * interval '1 second', created_at, 'epoch') AS t, count(*)::int AS requests,
            max(extract(epoch FROM coalesce(bound_at, ended_at, now()) - created_at))::float8 AS longest_wait_s
       FROM assignment
      WHERE created_at > now() - %(hours)s * interval '1 hour' AND (%(pool)s::text IS NULL OR pool = %(pool)s) GROUP BY 1)
SELECT extract(epoch FROM t)::float8 AS at, coalesce(requests, 0) AS requests, longest_wait_s
  FROM generate_series(date_bin(%(step_s)s * interval '1 second', now() - %(hours)s * interval '1 hour', 'epoch'), now(),
                       %(step_s)s * interval '1 second') AS t LEFT JOIN asked USING (t) ORDER BY t
"""


async def read_requests(conn: Connection, hours: int, step_s: int, pool: str | None = None) -> list[dict[str, Any]]:
    """New requests by step, and the longest wait for a VM of those, which may still go on."""
    return list(await fetch(conn, REQUESTS, {"hours": hours, "step_s": step_s, "pool": pool}))


STARTS = """
SELECT extract(epoch FROM ready_at)::float8 AS at, hostname, terraform_s, cloud_init_s, container_s,
       extract(epoch FROM ready_at - created_at)::float8 AS whole_s
  FROM vm
 WHERE ready_at > now() - %(hours)s * interval '1 hour' AND (%(pool)s::text IS NULL OR pool = %(pool)s)
 ORDER BY ready_at DESC LIMIT 500
"""


async def read_starts(conn: Connection, hours: int, pool: str | None = None) -> list[dict[str, Any]]:
    """VMs that became ready within the last hours, oldest first, with how long each part of the way took."""
    return list(reversed(await fetch(conn, STARTS, {"hours": hours, "pool": pool})))


class Stay(Frozen):
    """Somebody's time with a VM, or in line for one. Without the id: whoever has it could act as that person."""

    seq: int
    pool: str
    email: str
    status: str
    hostname: str | None
    created_at: datetime
    bound_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None


STAYS = """
SELECT seq, pool, email, status, hostname, created_at, bound_at, ended_at, end_reason FROM assignment
 WHERE (%(hostname)s::text IS NULL OR hostname = %(hostname)s) AND (%(pool)s::text IS NULL OR pool = %(pool)s)
   AND (%(status)s::text IS NULL OR status = %(status)s) AND (%(before)s::bigint IS NULL OR seq < %(before)s)
   AND (%(words)s::text IS NULL OR position(lower(%(words)s) IN lower(email || ' ' || coalesce(hostname, ''))) > 0)
   AND (%(seqs)s::bigint[] IS NULL OR seq = ANY(%(seqs)s))
 ORDER BY seq DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Which:
    """Which stays are wanted; `words` is part of an email address or of a host name, `before` the cursor, `seqs` names them."""

    hostname: str | None = None
    pool: str | None = None
    status: str | None = None
    words: str | None = None
    before: int | None = None
    seqs: Sequence[int] | None = None


async def list_stays(conn: Connection, which: Which, limit: int = 100) -> Sequence[Stay]:
    """Newest first."""
    params = {name: getattr(which, name) for name in Which.__slots__} | {"limit": limit}
    return [Stay(**row) for row in await fetch(conn, STAYS, params)]


HOLDERS = "SELECT hostname, email FROM assignment WHERE hostname = ANY(%s) AND status IN ('offered', 'active')"


async def read_holders(conn: Connection, hostnames: Sequence[str]) -> dict[str, str]:
    """Who has these VMs."""
    return {row["hostname"]: row["email"] for row in await fetch(conn, HOLDERS, (list(hostnames),))}


WAITING = "SELECT pool, count(*)::int AS waiting FROM assignment WHERE status = 'waiting' GROUP BY pool"


async def count_waiting(conn: Connection) -> dict[str, int]:
    """People in line by pool; a pool without is left out."""
    return {row["pool"]: row["waiting"] for row in await fetch(conn, WAITING)}
