"""API tokens as this process knows them: read whole, read again after each notification and every few seconds all the same."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from api.batch import Batch
from schemas.access import ApiToken
from store.api_token import note_use, read_good_tokens
from store.db import UNREACHABLE, Db

log = structlog.get_logger()

PREFIX = "lablink_"  # by which scanners of repositories know what they have found
FRESH_S = 5.0  # a notification that got lost costs no more
WRITE_S = 30.0  # between two writes of when tokens were used


def draw_token() -> str:
    """256 bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    """What of a token is stored and looked for; a lookup by digest tells nothing by its time."""
    return hashlib.sha256(token.encode()).digest()


class ApiTokens:
    """`find` for each call that brings one; `run` writes now and then when they were used."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._known: dict[bytes, ApiToken] = {}
        self._fresh_until = 0.0
        self._forgotten = 0
        self._used: dict[str, datetime] = {}
        self._load = Batch(self._load_once)

    def forget(self) -> None:
        """A token was made or revoked: the next look reads them all again."""
        self._fresh_until = 0.0
        self._forgotten += 1

    async def find(self, token: str) -> ApiToken | None:
        """The token if it is one and has not expired. Raises what psycopg raises when the database is away."""
        if not token.startswith(PREFIX):
            return None
        if time.monotonic() >= self._fresh_until:
            await self._load(None)
        found = self._known.get(digest_of(token))
        now = datetime.now(UTC)
        if found is None or (found.expires_at and found.expires_at <= now):
            return None
        self._used[found.name] = now
        return found

    async def _load_once(self, askers: Sequence[None]) -> Sequence[None]:
        forgotten, began = self._forgotten, time.monotonic()
        async with self._db.connection() as conn:
            self._known = await read_good_tokens(conn)
        if forgotten == self._forgotten:  # else what was read may be older than what we were told of
            self._fresh_until = began + FRESH_S
        return [None] * len(askers)

    async def run(self) -> None:
        """For ever: write when tokens were used."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.flush()

    async def flush(self) -> None:
        """Write at once; what cannot be written now is written with the next flush."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._db.connection() as conn:
                await note_use(conn, used)
        except UNREACHABLE as error:
            log.warning("token.use_unwritten", tokens=len(used), error=str(error).strip())
            self._used = {**used, **self._used}
