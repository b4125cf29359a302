"""The plots of the last hours: each a figure with a table of its newest, lowest and highest values, which `plots.js` draws over.

The table is there for whoever reads, hears or prints the page without scripts; a figure alone is at its own address and renews itself.
"""

from collections.abc import Sequence
from time import time
from typing import Any, NamedTuple
from urllib.parse import urlencode

from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from api.gauges import read_series
from api.pages.shell import AnyRequest, show
from api.parts import AnyDb
from store.db import Db
from store.history import read_requests, read_stages, read_starts

HOURS = 3
STEPS = 180  # of a plot over time
BIN_S = 180  # in which requests are counted
HERE = "/admin/plots"
GAUGES = (
    ("gpu_utilization", "GPU, %", "ready"),
    ("cpu_percent", "CPU, %", "assigned"),
    ("memory_percent", "memory, %", "outdated"),
    ("disk_usage", "disk, %", "booting"),
)
PARTS = (
    ("terraform_s", "Terraform, s", "outdated"),
    ("cloud_init_s", "cloud-init, s", "booting"),
    ("container_s", "container, s", "assigned"),
    ("whole_s", "request to ready, s", "ready"),
)

Values = Sequence[float | None]


class Line(NamedTuple):
    """One line of a plot: a colour of the stylesheet, and a value an instant or None."""

    label: str
    colour: str
    values: Values

    @property
    def newest(self) -> float | None:
        return self._known[-1] if self._known else None

    @property
    def lowest(self) -> float | None:
        return min(self._known, default=None)

    @property
    def highest(self) -> float | None:
        return max(self._known, default=None)

    @property
    def _known(self) -> list[float]:
        return [value for value in self.values if value is not None]


class Plot(NamedTuple):
    """`style` is how it is drawn: stacked, steps or points. `at` are epoch seconds."""

    title: str
    address: str
    hours: int
    style: str
    at: Sequence[float]
    lines: Sequence[Line]

    @property
    def drawn(self) -> dict[str, Any]:
        """What `plots.js` reads."""
        now = time()
        series = [{**line._asdict(), "values": [_round(value) for value in line.values]} for line in self.lines]
        return {"since": now - self.hours * 3600, "until": now, "style": self.style, "at": self.at, "series": series}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


async def read_plots(request: AnyRequest, db: Db) -> dict[str, Plot]:
    """Those of the dashboard, by name. None for a page that only renews its live parts: the figures renew themselves."""
    if "hx-request" in request.headers:
        return {}
    return {"stages": await plot_stages(db), "requests": await plot_requests(db), "starts": await plot_starts(db)}


async def plot_stages(db: Db, pool: str | None = None) -> Plot:
    """VMs that were assigned, free, starting and broken, one above the other."""
    async with db.connection() as conn:
        rows = await read_stages(conn, HOURS, STEPS, pool)
    lines = (
        Line("assigned", "assigned", [row["assigned"] for row in rows]),
        Line("free", "ready", [max(0, row["up"] - row["assigned"]) for row in rows]),
        Line("starting", "booting", [row["starting"] for row in rows]),
        Line("broken", "failed", [row["broken"] for row in rows]),
    )
    address = f"{HERE}/stages" + (f"?{urlencode({'pool': pool})}" if pool else "")
    title = f"VMs over the last {HOURS} hours"
    return Plot(title, address, HOURS, "stacked", [row["at"] for row in rows], lines)


async def plot_requests(db: Db) -> Plot:
    """Requests, and how long the longest of them waited."""
    async with db.connection() as conn:
        rows = await read_requests(conn, HOURS, BIN_S)
    lines = (
        Line(f"requests in {BIN_S // 60} min", "assigned", [row["requests"] for row in rows]),
        Line("longest wait, s", "failed", [row["longest_wait_s"] for row in rows]),
    )
    return Plot("Requests and waits", f"{HERE}/requests", HOURS, "steps", [row["at"] for row in rows], lines)


async def plot_starts(db: Db) -> Plot:
    """How long each part of the way took VMs that became ready."""
    async with db.connection() as conn:
        rows = await read_starts(conn, HOURS)
    lines = [Line(label, colour, [row[part] for row in rows]) for part, label, colour in PARTS]
    return Plot("Start-up times by part", f"{HERE}/starts", HOURS, "points", [row["at"] for row in rows], lines)


async def plot_gauges(db: Db, hostname: str) -> Plot:
    """How busy one VM was, in percent."""
    found = await read_series(db, hostname)
    points = {name: dict(found.series.get(name, ())) for name, _, _ in GAUGES}
    instants = sorted({at for series in points.values() for at in series})
    lines = [Line(label, colour, [points[name].get(at) for at in instants]) for name, label, colour in GAUGES]
    told = [line for line in lines if line.newest is not None]
    at = [instant.timestamp() for instant in instants]
    return Plot("How busy it was in the last hour", f"{HERE}/gauges/{hostname}", 1, "lines", at, told)


@get(f"{HERE}/stages", media_type="text/html", include_in_schema=False)
async def get_stages(request: AnyRequest, db: AnyDb, pool: FromQuery[str | None] = None) -> Template:
    """The figure alone, of all pools or of one."""
    return show(request, "admin/plot.html", plot=await plot_stages(db, pool))


@get(f"{HERE}/requests", media_type="text/html", include_in_schema=False)
async def get_requests(request: AnyRequest, db: AnyDb) -> Template:
    """The figure alone."""
    return show(request, "admin/plot.html", plot=await plot_requests(db))


@get(f"{HERE}/starts", media_type="text/html", include_in_schema=False)
async def get_starts(request: AnyRequest, db: AnyDb) -> Template:
    """The figure alone."""
    return show(request, "admin/plot.html", plot=await plot_starts(db))


@get(f"{HERE}/gauges/{{hostname:str}}", media_type="text/html", include_in_schema=False)
async def get_gauges(request: AnyRequest, db: AnyDb, hostname: FromPath[str]) -> Template:
    """The figure alone."""
    return show(request, "admin/plot.html", plot=await plot_gauges(db, hostname))


ROUTES = [get_stages, get_requests, get_starts, get_gauges]
