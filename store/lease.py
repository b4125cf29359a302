"""The lease of the leading controller: one row with a holder, an expiry and a fencing token that rises at each takeover.

Every write of a controller goes through `fenced`, which locks the row and refuses to go on once the token has passed on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg.errors import UniqueViolation

from store.db import Connection, Db, fetch_one, transaction

NAME = "controller"


class LeaseLost(Exception):
    """Another controller leads now, or the lease ran out. Stop acting; stand by and try to take it again."""


@dataclass(frozen=True, slots=True)
class Lease:
    holder: str
    token: int


TAKE = """
INSERT INTO lease AS l (name, holder, token, expires_at)
VALUES (%(name)s, %(holder)s, 1, now() + make_interval(secs => %(ttl_s)s))
ON CONFLICT (name) DO UPDATE
   SET holder = excluded.holder, token = l.token + 1, expires_at = excluded.expires_at
 WHERE l.expires_at < now() OR l.holder = excluded.holder
RETURNING token
"""


HURRY = "SET LOCAL idle_in_transaction_session_timeout = '1s'"


async def take_lease(db: Db, holder: str, ttl_s: float) -> Lease | None:
    """The lease under a new token, or None while somebody else holds it. `holder` stands for one process, which leads no more:
    a lease in its name is one whose commit it was not told of. Whoever dies in here keeps it from the others for a second."""
    try:
        async with transaction(db) as conn:
            await conn.execute(HURRY)
            row = await fetch_one(conn, TAKE, {"name": NAME, "holder": holder, "ttl_s": ttl_s})
    except UniqueViolation:  # the first lease of all was taken by another at the same moment
        return None
    return Lease(holder, row["token"]) if row else None


LEFT = "SELECT extract(epoch FROM expires_at - now())::float8 AS seconds FROM lease WHERE name = %s AND holder <> %s"


async def read_left(db: Db, holder: str) -> float:
    """Seconds until somebody else's lease ends unless it is renewed; not above 0: it has ended, is the holder's own, or nobody ever had it."""
    async with db.connection() as conn:
        row = await fetch_one(conn, LEFT, (NAME, holder))
    return row["seconds"] if row else 0.0


RENEW = """
UPDATE lease SET expires_at = greatest(expires_at, now() + make_interval(secs => %(ttl_s)s))
 WHERE name = %(name)s AND token = %(token)s AND expires_at > now()
RETURNING token
"""


async def renew_lease(db: Db, lease: Lease, ttl_s: float) -> None:
    """Push the expiry out; raises LeaseLost when it has already passed. One statement and no transaction: one that a connection
    died in would keep the next renewal waiting. A late one shortens nothing."""
    async with db.connection() as conn:
        row = await fetch_one(conn, RENEW, {"name": NAME, "token": lease.token, "ttl_s": ttl_s})
    if row is None:
        raise LeaseLost(f"the controller's lease (token {lease.token}) has expired or was taken over")


RELEASE = "UPDATE lease SET expires_at = now() - interval '1 second' WHERE name = %(name)s AND token = %(token)s"


async def release_lease(db: Db, lease: Lease) -> None:
    """Let the next controller in at once. Harmless when it is no longer ours."""
    async with transaction(db) as conn:
        await conn.execute(RELEASE, {"name": NAME, "token": lease.token})


HOLD = "SELECT token FROM lease WHERE name = %(name)s AND token = %(token)s AND expires_at > now() FOR KEY SHARE"


async def hold_lease(conn: Connection, token: int) -> None:
    """Inside a transaction: nobody can take the lease over before it commits, and its holder can renew it all the same, so that a
    transaction whose connection is dead does not cost the lease. Raises LeaseLost when somebody has taken it."""
    if await fetch_one(conn, HOLD, {"name": NAME, "token": token}) is None:
        raise LeaseLost(f"the controller's lease (token {token}) has expired or was taken over")


LED = "SELECT FROM lease WHERE name = %s AND expires_at > now()"


async def is_led(conn: Connection) -> bool:
    """Whether some controller leads now. Without one nobody looks at the cloud, so what is recorded of it grows old."""
    return await fetch_one(conn, LED, (NAME,)) is not None


@asynccontextmanager
async def fenced(db: Db, lease: Lease) -> AsyncIterator[Connection]:
    """A transaction in which `lease` surely holds; the only way in which a controller writes."""
    async with transaction(db) as conn:
        await hold_lease(conn, lease.token)
        yield conn
