"""What was used: VM-hours by kind, VM and assignment, from the rows' own instants. Read for budgets, costs and reports."""

from collections.abc import Sequence
from datetime import datetime

from schemas.frozen import Frozen
from schemas.price import LivePrice, Usage
from store.db import Connection, fetch

# The month as AWS bills it. A row that was never launched cost nothing.
MONTH = "date_trunc('month', now(), 'UTC')"
HOURS = f"""
extract(epoch FROM least(coalesce(ended_at, now()), now()) - greatest(launched_at, {MONTH}))::float8 / 3600
"""
MADE_OF = "region, spec->>'instance_type' AS instance_type, spec->>'volume_type' AS volume_type, (spec->>'volume_size')::int AS volume_size"
THIS_MONTH = f"FROM vm WHERE launched_at IS NOT NULL AND (ended_at IS NULL OR ended_at > {MONTH})"

USAGE = f"SELECT pool, {MADE_OF}, sum({HOURS}) AS hours {THIS_MONTH} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"

USAGE_FOR_BUDGET = f"""
SELECT pool, {MADE_OF}, sum({HOURS}) AS hours {THIS_MONTH}
   AND (SELECT document->'budget'->>'monthly' FROM desired_version ORDER BY version DESC LIMIT 1) IS NOT NULL
 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
"""The same, and no row is looked at while no monthly budget is declared."""


async def read_usage(conn: Connection) -> list[Usage]:
    """VM-hours of the month so far."""
    return [Usage(**row) for row in await fetch(conn, USAGE)]


class UsedVm(Frozen):
    """One VM of the month that runs, and how long it ran in it."""

    hostname: str
    pool: str
    region: str
    instance_type: str
    volume_type: str
    volume_size: int
    hours: float
    launched_at: datetime
    ended_at: datetime | None


VMS = f"""
SELECT hostname, pool, {MADE_OF}, {HOURS} AS hours, launched_at, ended_at {THIS_MONTH}
   AND hostname > %(after)s ORDER BY hostname LIMIT %(limit)s
"""


async def list_used_vms(conn: Connection, *, after: str = "", limit: int = 100) -> Sequence[UsedVm]:
    """By host name; `after` is the cursor. VMs that are gone count until they ended."""
    return [UsedVm(**row) for row in await fetch(conn, VMS, {"after": after, "limit": limit})]


class UsedSeat(Frozen):
    """One assignment of the month that runs: how long it had its VM, and what that VM is made of."""

    seq: int
    pool: str
    hostname: str
    region: str
    instance_type: str
    volume_type: str
    volume_size: int
    hours: float
    bound_at: datetime
    ended_at: datetime | None


SEATS = f"""
SELECT a.seq, a.pool, a.hostname, {MADE_OF.replace("region", "v.region", 1).replace("spec", "v.spec")},
       extract(epoch FROM coalesce(a.ended_at, now()) - greatest(a.bound_at, {MONTH}))::float8 / 3600 AS hours,
       a.bound_at, a.ended_at
  FROM assignment a JOIN vm v USING (hostname)
 WHERE a.bound_at IS NOT NULL AND (a.ended_at IS NULL OR a.ended_at > {MONTH}) AND a.seq > %(after)s
 ORDER BY a.seq LIMIT %(limit)s
"""


async def list_used_seats(conn: Connection, *, after: int = 0, limit: int = 100) -> Sequence[UsedSeat]:
    """In their order; `after` is the cursor. Nobody's email is read."""
    return [UsedSeat(**row) for row in await fetch(conn, SEATS, {"after": after, "limit": limit})]


PRICES = "SELECT region, instance_type, usd, asked_at FROM price ORDER BY region, instance_type"


async def read_live_prices(conn: Connection) -> list[LivePrice]:
    return [LivePrice(**row) for row in await fetch(conn, PRICES)]


KEEP_PRICE = """
INSERT INTO price (region, instance_type, usd, asked_at) VALUES (%(region)s, %(instance_type)s, %(usd)s, %(asked_at)s)
ON CONFLICT (region, instance_type) DO UPDATE SET usd = excluded.usd, asked_at = excluded.asked_at
"""


async def keep_live_price(conn: Connection, price: LivePrice) -> None:
    """As AWS says now; its date goes with it."""
    await conn.execute(KEEP_PRICE, price.model_dump())
