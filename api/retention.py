"""Keeps the daily partitions of logs and gauges: tomorrow's are there before they are needed, past ones are dropped."""

from datetime import UTC, date, datetime

import anyio
import structlog

from api.in_force import DesiredInForce
from store.db import UNREACHABLE, Db
from store.metric import KEPT_DAYS
from store.metric import TABLE as METRICS
from store.partition import keep_days
from store.vmlog import TABLE as LOGS
from store.vmlog import forget_heads

log = structlog.get_logger()

EVERY_S = 600.0
KEPT_WITHOUT_WORD = 30  # days; the default of `logs.database_days`


async def keep_tidy(db: Db, desired: DesiredInForce) -> None:
    """For ever; a write that finds its day missing makes it by itself."""
    while True:
        try:
            await tidy(db, datetime.now(UTC).date(), await read_kept_days(desired))
        except UNREACHABLE as error:
            log.warning("retention.later", error=str(error).strip())
        await anyio.sleep(EVERY_S)


async def tidy(db: Db, today: date, kept_days: int) -> None:
    """Make the days from `today` on and drop logs of more than `kept_days` ago."""
    async with db.connection() as conn:
        dropped = await keep_days(conn, LOGS, today, kept_days) + await keep_days(conn, METRICS, today, KEPT_DAYS)
        await forget_heads(conn, today, kept_days)
    if dropped:
        log.info("retention.dropped", days=[day.isoformat() for day in dropped])


async def read_kept_days(desired: DesiredInForce) -> int:
    """For how many days the lines of VMs are kept."""
    in_force = await desired.read()
    return in_force.lab.logs.database_days if in_force else KEPT_WITHOUT_WORD
