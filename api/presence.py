"""Says in the database that this API process is up, so that VMs count as silent only while somebody could hear them."""

from uuid import uuid4

import anyio
import structlog

from store.api_process import report_down, report_up
from store.db import UNREACHABLE, Db

log = structlog.get_logger()

EVERY_S = 5.0
GOODBYE_S = 1.0


async def keep_reporting(db: Db) -> None:
    """For ever, under an id of its own."""
    process = uuid4()
    try:
        while True:
            try:
                async with db.connection() as conn:
                    await report_up(conn, process)
            except UNREACHABLE as error:
                log.warning("presence.unwritten", error=str(error).strip())
            await anyio.sleep(EVERY_S)
    finally:
        with anyio.move_on_after(GOODBYE_S, shield=True):
            async with db.connection() as conn:
                await report_down(conn, process)
