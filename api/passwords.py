"""The admin's name and password against the bcrypt hash of the desired version in force, and how often one may be wrong.

A right password is remembered for minutes by a keyed digest, so a call costs no 250 ms, and nobody else's failures hold it up.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from typing import NamedTuple

import anyio
import bcrypt

from api.address import household
from api.errors import TooManyError
from api.in_force import DesiredInForce
from api.limits import Limit
from schemas.settings import Settings

REMEMBERED_S = 300.0
REMEMBERED = 1000
BCRYPT_AT_ONCE = 1  # each takes a core for a quarter of a second; the held calls need the others
MOST_WAITING = 40  # for bcrypt: ten seconds' worth; an address from which the right password came may wait behind them
WINDOW_S = 300.0
MOST_OF_ADDRESS = 10  # wrong passwords in a window
MOST_OF_NAME = 60  # from wherever; an address from which the right one came is not held up by it


class Login(NamedTuple):
    """Who the admin is now."""

    user: str
    password_hash: str


class Passwords:
    """One for the process; holds no password, only digests under a key of its own."""

    def __init__(self, settings: Settings, desired: DesiredInForce) -> None:
        self._settings = settings
        self._desired = desired
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, float] = {}
        self._homes: dict[str, None] = {}  # whence the right password came, oldest first
        self._checking: dict[bytes, asyncio.Task[bool]] = {}
        self._bcrypt = anyio.CapacityLimiter(BCRYPT_AT_ONCE)
        self._of_address = Limit(MOST_OF_ADDRESS, WINDOW_S, "too many wrong passwords came from this address")
        self._of_name = Limit(MOST_OF_NAME, WINDOW_S, "too many wrong passwords were tried for this name")

    async def read_login(self) -> Login | None:
        """The admin of the document in force, else of the settings; None when nobody can log in."""
        in_force = await self._desired.read()
        if in_force and in_force.lab.admin:
            return Login(in_force.lab.admin.user, in_force.lab.admin.password_hash)
        if self._settings.admin_password_hash is None:
            return None
        return Login(self._settings.admin_user, self._settings.admin_password_hash.get_secret_value())

    async def check(self, user: str, password: str, address: str) -> bool:
        """Whether this is the admin. Raises TooManyError, and what psycopg raises when the database is away."""
        login = await self.read_login()
        if login is None:
            return False
        digest = hmac.digest(self._key, "\0".join((*login, user, password)).encode(), hashlib.sha256)
        if self._right.get(digest, 0.0) > time.monotonic():
            return True
        checking = self._checking.get(digest)  # the same, asked many times at once, is looked at once
        if checking is None:
            self._admit(user, household(address))
            checking = asyncio.create_task(self._try(login, user, password, household(address), digest))
            self._checking[digest] = checking
        return await asyncio.shield(checking)

    def _admit(self, user: str, home: str) -> None:
        """Counts as a failure until it is known to be none, so that many at once are no way around."""
        self._of_address.check(home)
        if home not in self._homes:
            if len(self._checking) >= MOST_WAITING:
                raise TooManyError("too many logins are being looked at", 5.0)
            self._of_name.check(user)
        self._of_address.count(home)
        self._of_name.count(user)

    async def _try(self, login: Login, user: str, password: str, home: str, digest: bytes) -> bool:
        try:
            right_name = hmac.compare_digest(login.user.encode(), user.encode())
            # A wrong name costs the same time as a wrong password.
            right = await anyio.to_thread.run_sync(_check_hash, password, login.password_hash, limiter=self._bcrypt)
        finally:
            del self._checking[digest]
        if not (right_name and right):
            return False
        self._of_address.forgive(home)
        self._of_name.forgive(user)
        self._remember(digest, home)
        return True

    def _remember(self, digest: bytes, home: str) -> None:
        now = time.monotonic()
        if len(self._right) >= REMEMBERED:
            self._right = {known: until for known, until in self._right.items() if until > now}
        self._right[digest] = now + REMEMBERED_S
        self._homes.pop(home, None)
        self._homes[home] = None
        if len(self._homes) > REMEMBERED:
            del self._homes[next(iter(self._homes))]


def _check_hash(password: str, password_hash: str) -> bool:
    try:
        # bcrypt reads 72 bytes and refuses more; a longer password was hashed by its first 72.
        return bcrypt.checkpw(password.encode()[:72], password_hash.encode())
    except ValueError:
        return False
