"""What was found of the bases that Terraform has applied. Called by the controller's slow look at them."""

from collections.abc import Sequence

from schemas.pool import Base
from store.db import Connection, fetch

APPLIED = """
SELECT pool, region, wanted, applied_hash, outputs, drift FROM base b
 WHERE wanted AND applied_hash IS NOT NULL
   AND NOT EXISTS (SELECT FROM run WHERE state_key = b.pool || '/' || b.region || '/base' AND ended_at IS NULL)
 ORDER BY pool, region
"""


async def read_applied_bases(conn: Connection) -> Sequence[Base]:
    """Those that no Terraform is at work on."""
    return [Base.model_validate(row) for row in await fetch(conn, APPLIED)]


KEEP_DRIFT = "UPDATE base SET drift = %s WHERE pool = %s AND region = %s AND applied_hash = %s"


async def keep_base_drift(conn: Connection, base: Base, drift: str) -> None:
    """Unless it was applied anew since it was looked at."""
    await conn.execute(KEEP_DRIFT, (drift, base.pool, base.region, base.applied_hash))
