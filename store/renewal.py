"""What becomes of a VM whose person is gone: another takes its place, or its host makes it ready for the next person (`session.after`).

The token that the person's container knew is worthless from that moment. The new one is for the VM's host alone, which proves
itself by a key that it drew at its first boot and whose digest it said before the VM had a person.
"""

from collections.abc import Sequence
from typing import Literal

from schemas.frozen import Frozen
from store.db import Connection, fetch, fetch_one

AFTER = """
coalesce((SELECT document->'pools'->v.pool->'session'->>'after' FROM desired_version ORDER BY version DESC LIMIT 1), 'replace')
"""
VACATE = f"""
WITH kept AS (
    UPDATE vm v SET renewing = {AFTER}, renewing_since = now(), renewed_at = NULL, token_version = token_version + 1,
                    in_use = false, idle_since = NULL, version = version + 1
     WHERE v.hostname = ANY(%(hostnames)s) AND %(renew)s AND v.phase = 'live' AND v.renewal_key IS NOT NULL
       AND {AFTER} <> 'replace' AND EXISTS (SELECT FROM seat WHERE seat.hostname = v.hostname AND seat.state = 'taken')
    RETURNING v.hostname)
UPDATE seat s SET state = CASE WHEN s.hostname IN (SELECT hostname FROM kept) THEN 'closed' ELSE 'draining' END,
                  assignment_id = NULL, free_since = NULL
 WHERE s.hostname = ANY(%(hostnames)s) AND s.state = 'taken' RETURNING s.hostname, s.state = 'closed' AS kept
"""
REPLACED = "the VM is replaced by a clean one"
RENEWED = "the VM is made ready for the next person"


async def vacate_seats(conn: Connection, hostnames: Sequence[str], *, renew: bool = True) -> dict[str, str]:
    """What becomes of each of these VMs whose seat was taken, in words. The caller has locked the pool and the rows of `vm`.

    Without `renew` they drain in any case, as do those whose host has no reporter that could make them ready.
    """
    rows = await fetch(conn, VACATE, {"hostnames": list(hostnames), "renew": renew})
    return {row["hostname"]: RENEWED if row["kept"] else REPLACED for row in rows}


KEEP_KEY = """
UPDATE vm v SET renewal_key = %(digest)s
 WHERE v.hostname = %(hostname)s AND v.renewal_key IS NULL AND v.phase = 'live'
   AND NOT EXISTS (SELECT FROM seat WHERE seat.hostname = v.hostname AND seat.state = 'taken')
"""


async def keep_renewal_key(conn: Connection, hostname: str, digest: str) -> None:
    """The first one counts, and none that is said while somebody has the VM: that could be anybody's there."""
    await conn.execute(KEEP_KEY, {"hostname": hostname, "digest": digest})


class Renewal(Frozen):
    """What a host that has the key is told: its token's version, and what is to be done before it is used, if anything."""

    token_version: int
    renewing: Literal["keep", "reboot"] | None


RENEW = """
UPDATE vm SET renewed_at = CASE WHEN renewing IS NOT NULL THEN coalesce(renewed_at, now()) END
 WHERE hostname = %(hostname)s AND renewal_key = %(digest)s AND phase = 'live' RETURNING token_version, renewing
"""


async def renew(conn: Connection, hostname: str, digest: str) -> Renewal | None:
    """The same again however often it is asked; None for another key than the VM's."""
    row = await fetch_one(conn, RENEW, {"hostname": hostname, "digest": digest})
    return Renewal(**row) if row else None
