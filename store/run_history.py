"""Terraform runs as the API shows them: a page of them, or one with all that Terraform said. Reads only."""

from collections.abc import Sequence

from schemas.pool import Run
from store.db import Connection, fetch, fetch_one

COLUMNS = """id, state_key, pool, token, started_at, must_end_by, ended_at, outcome, cause, message, creates, imports,
             deletes"""


class RunWithOutput(Run):
    """A run with what Terraform printed."""

    output: str


LIST = f"""
SELECT {COLUMNS} FROM run
 WHERE (%(before)s::bigint IS NULL OR id < %(before)s) AND (%(pool)s::text IS NULL OR pool = %(pool)s)
   AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
 ORDER BY id DESC LIMIT %(limit)s
"""


async def list_runs(
    conn: Connection,
    *,
    pool: str | None = None,
    outcome: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Sequence[Run]:
    """Runs, newest first; `before` is the cursor."""
    params = {"pool": pool, "outcome": outcome, "before": before, "limit": limit}
    return [Run(**row) for row in await fetch(conn, LIST, params)]


ONE = f"SELECT {COLUMNS}, output FROM run WHERE id = %s"


async def read_run(conn: Connection, run_id: int) -> RunWithOutput | None:
    """One run by its id."""
    row = await fetch_one(conn, ONE, (run_id,))
    return RunWithOutput(**row) if row else None
