"""What a person's page follows: the assignment, its place in line, how its VM is, and how quickly the pool's VMs start.

Read for many people in one statement; called by `api.followers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import COLUMNS, SILENT
from store.db import Connection, fetch

SEEN = f"""
WITH quiet AS (
    -- Who is being bound at this moment is left alone, so that no lock is ever waited for here.
    SELECT id, status = 'waiting' AND seen_at < now() - {SILENT} AS passed_over FROM assignment
     WHERE id = ANY(%s) AND status IN ('waiting', 'offered') AND seen_at < now() - interval '20 seconds'
       FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE assignment a SET seen_at = now() FROM quiet q WHERE a.id = q.id RETURNING a.pool, q.passed_over
"""


async def see_people(conn: Connection, ids: Sequence[UUID]) -> set[str]:
    """The pages of these people are open; the pools in which somebody is back who was passed over."""
    return {row["pool"] for row in await fetch(conn, SEEN, (list(ids),)) if row["passed_over"]}


@dataclass(frozen=True, slots=True)
class Followed:
    """`position` counts from 1 and is None unless waiting; ages in seconds; the last three are of the VM."""

    assignment: Assignment
    position: int | None
    command_age_s: float | None
    left_s: float | None  # of an offer or a session
    reporter: bool | None
    vm_status: str | None
    gpu_health: str | None

    @property
    def offer_s(self) -> int | None:
        """How long the offer still holds; None where there is none, or where it has no end."""
        offered = self.assignment.status is AssignmentStatus.OFFERED
        return max(0, round(self.left_s)) if offered and self.left_s is not None else None


MARKS = """position, extract(epoch FROM now() - code_at)::float8 AS command_age_s,
           extract(epoch FROM coalesce(CASE status WHEN 'offered' THEN offered_until END, ends_at) - now())::float8 AS left_s"""
FOLLOW = f"""
WITH line AS (
    SELECT id, row_number() OVER (PARTITION BY pool ORDER BY priority, seq) AS position FROM assignment
     WHERE status = 'waiting' AND pool IN (SELECT pool FROM assignment WHERE id = ANY(%(ids)s) AND status = 'waiting')
), own AS (
    SELECT {COLUMNS}, {MARKS} FROM assignment LEFT JOIN line USING (id) WHERE id = ANY(%(ids)s)
)
SELECT own.*, v.reporter, v.status AS vm_status, v.gpu_health FROM own LEFT JOIN vm v ON v.hostname = own.hostname
"""
BESIDE = ("position", "command_age_s", "left_s", "reporter", "vm_status", "gpu_health")


async def read_followed(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, Followed]:
    """Those of these assignments that there are, by id."""
    rows = await fetch(conn, FOLLOW, {"ids": list(ids)})
    found = [Followed(**{name: row.pop(name) for name in BESIDE}, assignment=Assignment(**row)) for row in rows]
    return {one.assignment.id: one for one in found}


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly a pool's VMs start, in seconds; what `api.eta` estimates from."""

    took_s: tuple[float, ...]  # whole start-ups, of the last 20 that became ready
    launches_s: tuple[float, ...]  # Terraform's part of them
    ages_s: tuple[float, ...]  # of those that are on their way
    batch: int | None  # creates at once after a failure; None: no limit


PACE = """
SELECT p.name, p.batch, recent.took_s, recent.launches_s,
       ARRAY(SELECT extract(epoch FROM now() - v.created_at)::float8 FROM vm v
              WHERE v.pool = p.name AND v.phase IN ('planned', 'live') AND v.ready_at IS NULL AND NOT v.cordoned
                AND v.status IS DISTINCT FROM 'error') AS ages_s
  FROM pool p CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(coalesce(v.terraform_s + v.cloud_init_s + v.container_s,
                                          extract(epoch FROM v.ready_at - v.created_at)::float8)), '{}') AS took_s,
              coalesce(array_agg(v.terraform_s) FILTER (WHERE v.terraform_s IS NOT NULL), '{}') AS launches_s
         FROM (SELECT * FROM vm WHERE vm.pool = p.name AND vm.ready_at IS NOT NULL ORDER BY vm.ready_at DESC LIMIT 20) v
       ) AS recent
 WHERE p.name = ANY(%s)
"""


async def read_paces(conn: Connection, pools: Sequence[str]) -> dict[str, Pace]:
    """By pool."""
    return {
        row["name"]: Pace(tuple(row["took_s"]), tuple(row["launches_s"]), tuple(row["ages_s"]), row["batch"])
        for row in await fetch(conn, PACE, (list(pools),))
    }
