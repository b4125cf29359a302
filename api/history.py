"""`/api/v1/runs` and `/api/v1/ticks`: what Terraform did, and at which ticks something was decided."""

from litestar import get
from litestar.params import FromPath, FromQuery

from api.answers import Page, TickShown
from api.errors import NotFoundError
from api.paging import Limit, NumberCursor, page
from api.parts import AnyDb
from schemas.pool import Run
from store.run_history import RunWithOutput, list_runs, read_run
from store.tick import list_ticks

LARGEST_ID = 2**63 - 1


@get("/runs")
async def get_runs(
    db: AnyDb,
    *,
    pool: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
    after: NumberCursor = None,
    limit: Limit = 100,
) -> Page[Run]:
    """Terraform runs, newest first; `status` is the outcome, such as running or failed."""
    async with db.connection() as conn:
        runs = await list_runs(conn, pool=pool, outcome=status, before=after, limit=limit)
    return page(runs, limit, lambda run: run.id)


@get("/runs/{run_id:int}")
async def get_run(db: AnyDb, run_id: FromPath[int]) -> RunWithOutput:
    """One Terraform run with its output."""
    async with db.connection() as conn:
        run = await read_run(conn, run_id) if 0 < run_id <= LARGEST_ID else None
    if run is None:
        raise NotFoundError(f"there is no run {run_id}")
    return run


@get("/ticks")
async def get_ticks(db: AnyDb, after: NumberCursor = None, limit: Limit = 100) -> Page[TickShown]:
    """Ticks that changed something, newest first; they are kept for 14 days."""
    async with db.connection() as conn:
        ticks = await list_ticks(conn, before=after, limit=limit)
    shown = [TickShown(id=tick.id, at=tick.at, version=tick.version, actions=tick.actions) for tick in ticks]
    return page(shown, limit, lambda tick: tick.id)


ROUTES = [get_runs, get_run, get_ticks]
