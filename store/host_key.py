"""VMs that can be reached by SSH, and the host key that each showed first: another one later is somebody else's."""

from dataclasses import dataclass

from store.db import Connection, fetch, fetch_one

ASSIGNED = """
SELECT v.hostname, v.pool, v.region, v.private_ip, v.public_ip, k.key AS host_key
  FROM vm v JOIN seat s USING (hostname) LEFT JOIN ssh_host_key k USING (hostname)
 WHERE v.phase = 'live' AND s.state = 'taken'
   AND (%(pool)s::text IS NULL OR v.pool = %(pool)s) AND (%(hostname)s::text IS NULL OR v.hostname = %(hostname)s)
 ORDER BY v.hostname
"""


@dataclass(frozen=True, slots=True)
class Reachable:
    """A VM that somebody has; `host_key` None: nobody was ever there."""

    hostname: str
    pool: str
    region: str
    private_ip: str | None
    public_ip: str | None
    host_key: str | None


async def list_assigned(conn: Connection, pool: str | None, hostname: str | None) -> list[Reachable]:
    return [Reachable(**row) for row in await fetch(conn, ASSIGNED, {"pool": pool, "hostname": hostname})]


PIN = "INSERT INTO ssh_host_key (hostname, key) VALUES (%s, %s) ON CONFLICT (hostname) DO NOTHING"
READ = "SELECT key FROM ssh_host_key WHERE hostname = %s"


async def pin_host_key(conn: Connection, hostname: str, key: str) -> str:
    """Keep the key that a VM shows at the first visit; the one that is kept."""
    await conn.execute(PIN, (hostname, key))
    row = await fetch_one(conn, READ, (hostname,))
    assert row is not None
    return str(row["key"])
