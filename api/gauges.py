"""What VMs say of themselves, for plots: `/api/v1/vms/{hostname}/gauges` and how each came up, `/api/v1/vms/{hostname}/startup`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from litestar import get
from litestar.params import FromPath, QueryParameter
from pydantic import ConfigDict

from api.errors import NotFoundError
from api.log_reading import find_span
from api.parts import AnyDb
from schemas.frozen import Frozen
from schemas.startup import StartUp
from store.db import Db
from store.metric import KEPT_DAYS, MOST_POINTS, SLOT_S, read_gauges
from store.startup import read_startup

Since = Annotated[
    datetime | None, QueryParameter(description="RFC 3339; an hour ago when left out, and a week at most.")
]
Step = Annotated[int | None, QueryParameter(ge=1, le=86_400, description="Seconds between two points.")]
POINTS = 300  # of a series, where the caller does not say
EXAMPLE: dict[str, Any] = {
    "hostname": "lablink-client-prod-7",
    "since": "2026-12-01T09:00:00Z",
    "step_s": 30,
    "series": {"gpu_utilization": [["2026-12-01T09:00:00Z", 41.0], ["2026-12-01T09:00:30Z", 43.5]]},
}


class Series(Frozen):
    """Gauges by name: points `[time, mean over the step]`, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    hostname: str
    since: datetime
    step_s: int
    series: Mapping[str, Sequence[tuple[datetime, float]]]


@get("/vms/{hostname:str}/gauges")
async def get_gauges(db: AnyDb, hostname: FromPath[str], since: Since = None, step: Step = None) -> Series:
    """Gauges by name as points `[time, mean over the step]`. The step grows where a series would have more than 2,000 points."""
    return await read_series(db, hostname, since, step)


async def read_series(db: Db, hostname: str, since: datetime | None = None, step: int | None = None) -> Series:
    """The answer of `GET …/gauges`, which pages plot, too. Raises NotFoundError."""
    now = datetime.now(UTC)
    begins = choose_begin(since, now)
    step_s = choose_step(step, (now - begins).total_seconds())
    await find_span(db, hostname)
    async with db.connection() as conn:
        points = await read_gauges(conn, hostname, begins, step_s)
    series: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for point in points:
        series[point.name].append((point.at, round(point.value, 3)))
    return Series(hostname=hostname, since=begins, step_s=step_s, series=series)


def choose_begin(since: datetime | None, now: datetime) -> datetime:
    """An hour ago without a word; times without a zone are UTC."""
    if since is None:
        return now - timedelta(hours=1)
    aware = since if since.tzinfo else since.replace(tzinfo=UTC)
    return min(now, max(aware, now - timedelta(days=KEPT_DAYS)))


def choose_step(step_s: int | None, span_s: float) -> int:
    """A multiple of the slot in which gauges are kept."""
    wanted = max(step_s or span_s / POINTS, span_s / MOST_POINTS, SLOT_S)
    return -int(-wanted // SLOT_S) * SLOT_S


@get("/vms/{hostname:str}/startup")
async def get_startup(db: AnyDb, hostname: FromPath[str]) -> StartUp:
    """How long Terraform, cloud-init and the container took, and when what happened; also of a VM that is gone."""
    async with db.connection() as conn:
        startup = await read_startup(conn, hostname) if "\0" not in hostname else None
    if startup is None:
        raise NotFoundError(f"there is no VM {hostname!r}")
    return startup


ROUTES = [get_gauges, get_startup]
