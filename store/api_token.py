"""API tokens: kept as digests, read whole (there are few), revoked for all API processes at once. Called by `api.api_tokens`."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schemas.access import ApiToken, Scope
from store.db import Connection, fetch, fetch_one, notify

CHANNEL = "api_token"  # no key: whoever hears it reads all tokens again
COLUMNS = "name, scope, created_at, created_by, expires_at, last_used_at"

CREATE = f"""
INSERT INTO api_token (name, scope, digest, created_by, expires_at)
VALUES (%(name)s, %(scope)s, %(digest)s, %(author)s, now() + %(lasts)s::interval)
ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}
"""


async def create_token(
    conn: Connection, name: str, scope: Scope, digest: bytes, *, author: str, lasts: timedelta | None
) -> ApiToken | None:
    """The new token, or None when there is one of that name already."""
    params = {"name": name, "scope": scope, "digest": digest, "author": author, "lasts": lasts}
    row = await fetch_one(conn, CREATE, params)
    await notify(conn, CHANNEL)
    return ApiToken(**row) if row else None


LIST = f"SELECT {COLUMNS} FROM api_token ORDER BY name"


async def list_tokens(conn: Connection) -> list[ApiToken]:
    """All tokens by name, expired ones too."""
    return [ApiToken(**row) for row in await fetch(conn, LIST)]


READ_GOOD = f"SELECT digest, {COLUMNS} FROM api_token WHERE expires_at IS NULL OR expires_at > now()"


async def read_good_tokens(conn: Connection) -> dict[bytes, ApiToken]:
    """The tokens that have not expired, by digest."""
    return {bytes(row.pop("digest")): ApiToken(**row) for row in await fetch(conn, READ_GOOD)}


REVOKE = "DELETE FROM api_token WHERE name = %s RETURNING name"


async def revoke_token(conn: Connection, name: str) -> bool:
    """False when there is none of that name."""
    row = await fetch_one(conn, REVOKE, (name,))
    await notify(conn, CHANNEL)
    return row is not None


NOTE_USE = """
UPDATE api_token t SET last_used_at = greatest(t.last_used_at, u.at)
  FROM unnest(%s::text[], %s::timestamptz[]) AS u (name, at) WHERE t.name = u.name
"""


async def note_use(conn: Connection, used: Mapping[str, datetime]) -> None:
    """When tokens were last used, by name; of one that is gone nothing is kept."""
    await conn.execute(NOTE_USE, (list(used), list(used.values())))
