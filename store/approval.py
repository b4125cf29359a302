"""Versions of the desired state that cost more per hour than may come unasked, and who let them."""

from schemas.price import Approval
from store.db import Connection, fetch_one

COLUMNS = "version, cleared_usd, wanted_usd, CASE WHEN approved_at IS NULL THEN 'waiting' ELSE 'approved' END AS state"
READ = f"SELECT {COLUMNS} FROM approval WHERE version = %s"
OF_NEWEST = f"SELECT {COLUMNS} FROM approval WHERE version = (SELECT max(version) FROM desired_version)"


async def read_approval(conn: Connection, version: int) -> Approval | None:
    """None: the version needs no approval."""
    row = await fetch_one(conn, READ, (version,))
    return Approval(**row) if row else None


CLEARED = """
SELECT v.version, v.document::text AS document
  FROM desired_version v LEFT JOIN approval a USING (version)
 WHERE v.version < %s AND (a.version IS NULL OR a.approved_at IS NOT NULL)
 ORDER BY v.version DESC LIMIT 1
"""


async def read_cleared(conn: Connection, version: int) -> str | None:
    """The document of the last earlier version that waits for nobody."""
    row = await fetch_one(conn, CLEARED, (version,))
    return str(row["document"]) if row else None


ASK = """
INSERT INTO approval (version, cleared_usd, wanted_usd) VALUES (%(version)s, %(cleared_usd)s, %(wanted_usd)s)
ON CONFLICT (version) DO NOTHING RETURNING version
"""


async def ask_approval(conn: Connection, approval: Approval) -> bool:
    """This version waits for a person from now on; False when it does already, or was let."""
    return await fetch_one(conn, ASK, approval.model_dump()) is not None


APPROVE = """
UPDATE approval SET approved_at = now(), approved_by = %(actor)s
 WHERE version = %(version)s AND approved_at IS NULL RETURNING version
"""


async def approve(conn: Connection, version: int, actor: str) -> bool:
    """False when it waits for nobody."""
    return await fetch_one(conn, APPROVE, {"version": version, "actor": actor}) is not None
