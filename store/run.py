"""Terraform runs: each is announced before its plan, kept alive while it goes on, let through before its apply, and closed.

Called by actuation, always in a fenced transaction. A state has at most one open run; `must_end_by` is the instant at which the
guard of its Terraform ends it unless it was extended, so past it (and the guard's grace) nothing of the run is left.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from store.db import Connection, fetch, fetch_one

MOST_OUTPUT = 200_000

START = """
INSERT INTO run (state_key, pool, token, must_end_by)
SELECT %(state_key)s, %(pool)s, %(token)s, now() + make_interval(secs => %(ttl_s)s)
 WHERE NOT EXISTS (SELECT FROM run WHERE state_key = %(state_key)s AND ended_at IS NULL)
RETURNING id
"""


async def start_run(conn: Connection, state_key: str, pool: str, token: int, ttl_s: float) -> int | None:
    """The id of a new run, or None while another one of this state is open. Only the holder of the lease gets here."""
    params = {"state_key": state_key, "pool": pool, "token": token, "ttl_s": ttl_s}
    row = await fetch_one(conn, START, params)
    return row["id"] if row else None


EXTEND = """
UPDATE run SET must_end_by = now() + make_interval(secs => %(ttl_s)s) WHERE id = %(run_id)s AND ended_at IS NULL RETURNING id
"""


async def extend_run(conn: Connection, run_id: int, ttl_s: float) -> bool:
    """False when the run was closed meanwhile; it has to end."""
    return await fetch_one(conn, EXTEND, {"run_id": run_id, "ttl_s": ttl_s}) is not None


LET_THROUGH = """
UPDATE run SET applying_at = now(), creates = %(creates)s, imports = %(imports)s, deletes = %(deletes)s, plan = %(plan)s
 WHERE id = %(run_id)s AND ended_at IS NULL RETURNING id
"""


async def let_through(conn: Connection, run_id: int, change: Mapping[str, Sequence[str]]) -> bool:
    """Record that the plan is going to be applied; `change` has the host names (or addresses) under creates, imports, deletes."""
    counts = {verb: len(change.get(verb, ())) for verb in ("creates", "imports", "deletes")}
    return await fetch_one(conn, LET_THROUGH, counts | {"run_id": run_id, "plan": Jsonb(dict(change))}) is not None


SAID = "UPDATE run SET output = %s WHERE id = %s AND ended_at IS NULL"


async def write_output(conn: Connection, run_id: int, output: str) -> None:
    """What Terraform has said so far, for those who watch."""
    await conn.execute(SAID, (output[-MOST_OUTPUT:].replace("\0", ""), run_id))


END = """
UPDATE run SET ended_at = now(), outcome = %(outcome)s, cause = %(cause)s, message = %(message)s, output = %(output)s
 WHERE id = %(run_id)s AND ended_at IS NULL RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; `output` is what Terraform said, without the plan."""

    outcome: str  # succeeded | failed | interrupted | refused
    cause: str | None = None
    message: str | None = None
    output: str = ""


async def end_run(conn: Connection, run_id: int, ending: Ending) -> bool:
    """Close a run; False when it was closed already."""
    params = {
        "run_id": run_id,
        "outcome": ending.outcome,
        "cause": ending.cause,
        "message": ending.message,
        "output": ending.output[-MOST_OUTPUT:].replace("\0", ""),
    }
    return await fetch_one(conn, END, params) is not None


@dataclass(frozen=True, slots=True)
class Past:
    """What the runs of one state mean for the next."""

    state_key: str
    run_id: int  # of the newest
    ended_at: datetime | None
    dead: bool  # open, but its Terraform has surely ended
    outcome: str
    cause: str | None
    troubles: int  # failed or refused runs since the last that was neither
    applied_outcome: str | None  # of the newest that was let through
    applied_ended_at: datetime | None
    failed_at: datetime | None  # the last end of one that was let through and did not succeed, whatever came after it
    unsure_at: datetime | None  # the last end of one of them that may have made what its state does not know


PASTS = """
SELECT k.state_key, r.id AS run_id, r.ended_at, r.outcome, r.cause,
       r.ended_at IS NULL AND now() > r.must_end_by + make_interval(secs => %(grace_s)s) AS dead,
       t.troubles, a.outcome AS applied_outcome, a.ended_at AS applied_ended_at, f.failed_at, f.unsure_at
  FROM (SELECT DISTINCT pool || '/' || region || '/' || shard AS state_key FROM vm WHERE pool = %(pool)s AND phase <> 'gone'
        UNION SELECT pool || '/' || region || '/base' FROM base WHERE pool = %(pool)s) k
 CROSS JOIN LATERAL (SELECT * FROM run WHERE run.state_key = k.state_key ORDER BY id DESC LIMIT 1) r
 CROSS JOIN LATERAL (SELECT count(*) AS troubles FROM (
            SELECT bool_and(outcome IN ('failed', 'refused')) OVER (ORDER BY id DESC) AS trouble
              FROM (SELECT id, outcome FROM run WHERE run.state_key = k.state_key ORDER BY id DESC LIMIT 10) ten) x
             WHERE trouble) t
  LEFT JOIN LATERAL (SELECT * FROM run WHERE run.state_key = k.state_key AND applying_at IS NOT NULL
                      ORDER BY id DESC LIMIT 1) a ON true
 CROSS JOIN LATERAL (
     SELECT max(ended_at) AS failed_at, max(ended_at) FILTER (WHERE outcome = 'interrupted' OR cause = ANY(%(unsure)s)) AS unsure_at
       FROM (SELECT * FROM run WHERE run.state_key = k.state_key AND applying_at IS NOT NULL AND outcome <> 'succeeded'
              ORDER BY id DESC LIMIT 10) ten) f
"""


async def read_pasts(conn: Connection, pool: str, grace_s: float, unsure: Collection[str]) -> dict[str, Past]:
    """By state key, for the states of a pool that ever had a run. `unsure`: causes of failures that leave open what was made."""
    rows = await fetch(conn, PASTS, {"pool": pool, "grace_s": grace_s, "unsure": list(unsure)})
    return {row["state_key"]: Past(**row) for row in rows}
