"""`/admin/runs`: Terraform's runs, and one with what it said, coloured, while it says it."""

from typing import NamedTuple

from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from api.errors import NotFoundError
from api.pages.desk import show_desk
from api.pages.paging import Before, older
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheDesired
from store.run_history import list_runs, read_run

PAGE = 50
MARKS = (
    ("bad", ("error", "refused", "failed", "cannot")),
    ("warn", ("warning", "still creating", "still destroying", "still modifying")),
    ("strong", ("plan:", "apply complete", "outputs:")),
    ("good", ("creation complete", "destruction complete", "import complete")),
)


class Line(NamedTuple):
    text: str
    mark: str


@get("/admin/runs", media_type="text/html", include_in_schema=False)
async def get_runs(
    request: AnyRequest, db: AnyDb, desired: TheDesired, pool: FromQuery[str] = "", before: Before = None
) -> Template:
    """Newest first."""
    async with db.connection() as conn:
        runs = await list_runs(conn, pool=pool or None, before=before, limit=PAGE)
    in_force = await desired.read()
    pools = list(in_force.lab.pools) if in_force else []
    return show_desk(
        request, "admin/runs.html", runs=runs, pool=pool, pools=pools, before=before, older=older(runs, PAGE, "id")
    )


@get("/admin/runs/{run_id:int}", media_type="text/html", include_in_schema=False)
async def get_run(request: AnyRequest, db: AnyDb, run_id: FromPath[int]) -> Template:
    """One run."""
    async with db.connection() as conn:
        run = await read_run(conn, run_id) if 0 < run_id < 2**63 else None
    if run is None:
        raise NotFoundError(f"there is no run {run_id}; the list of Terraform runs has those that are kept")
    lines = [Line(line, mark(line)) for line in run.output.splitlines()]
    return show_desk(request, "admin/run.html", run=run, lines=lines)


def mark(line: str) -> str:
    """How a line of Terraform's output is coloured."""
    text = line.lower()
    return next((name for name, words in MARKS if any(word in text for word in words)), "")


ROUTES = [get_runs, get_run]
