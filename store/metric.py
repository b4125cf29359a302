"""Gauges of VMs as a short history for plots: a row a VM and slot, written for many VMs in one statement. Called by `api`.

A VM fills at most one row a slot with at most `MOST_NAMES` numbers, however often it speaks. Raises psycopg's CheckViolation while today has
no partition (`store.partition`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from store.db import Connection, fetch

TABLE = "vm_metric"
SLOT_S = 30
KEPT_DAYS = 7
MOST_NAMES = 24
MOST_POINTS = 2_000

WRITE = f"""
INSERT INTO vm_metric AS m (at, hostname, gauges)
SELECT date_bin('{SLOT_S} seconds', now(), 'epoch'), n.hostname, n.gauges
  FROM unnest(%(hostname)s::text[], %(gauges)s::jsonb[]) AS n (hostname, gauges) ORDER BY n.hostname
ON CONFLICT (hostname, at) DO UPDATE SET gauges = m.gauges || excluded.gauges
 WHERE (SELECT count(*) FROM jsonb_object_keys(m.gauges || excluded.gauges)) <= {MOST_NAMES}
"""


async def write_gauges(conn: Connection, gauges: Mapping[str, Mapping[str, float]]) -> None:
    """Into the slot of now (the database's clock); of a gauge that was said twice in a slot the last stays."""
    said = {name: dict(list(of.items())[:MOST_NAMES]) for name, of in gauges.items() if of}
    if said:
        await conn.execute(WRITE, {"hostname": list(said), "gauges": [Jsonb(of) for of in said.values()]})


@dataclass(frozen=True, slots=True)
class Point:
    """A gauge's mean over the step that begins at `at`."""

    name: str
    at: datetime
    value: float


SERIES = f"""
SELECT g.key AS name, date_bin(make_interval(secs => %(step_s)s), m.at, 'epoch') AS at, avg(g.value::text::float8) AS value
  FROM vm_metric m CROSS JOIN LATERAL jsonb_each(m.gauges) AS g
 WHERE m.hostname = %(hostname)s AND m.at >= %(since)s AND m.at > now() - interval '{KEPT_DAYS} days'
 GROUP BY 1, 2 ORDER BY 1, 2
"""


async def read_gauges(conn: Connection, hostname: str, since: datetime, step_s: int) -> Sequence[Point]:
    """The series of one VM, by name and time."""
    rows = await fetch(conn, SERIES, {"hostname": hostname, "since": since, "step_s": step_s})
    return [Point(**row) for row in rows]
