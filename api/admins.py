"""The admin login: HTTP Basic against the bcrypt hash of the desired version in force, and what browsers may not do.

Used as Litestar guards. A right password is remembered for minutes by a keyed digest, so a call costs no 250 ms.
"""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import anyio
import bcrypt
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler

from api.in_force import DesiredInForce
from schemas.settings import Settings

AnyConnection = ASGIConnection[Any, Any, Any, Any]

REMEMBERED_S = 300.0
REMEMBERED = 1000
BCRYPT_AT_ONCE = 1  # each takes a core for a quarter of a second; the held calls need the others
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Admins:
    """Knows who is an admin. One for the process; holds no password, only digests under a key of its own."""

    def __init__(self, settings: Settings, desired: DesiredInForce) -> None:
        self._settings = settings
        self._desired = desired
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, float] = {}
        self._bcrypt = anyio.CapacityLimiter(BCRYPT_AT_ONCE)

    async def check(self, user: str, password: str) -> bool:
        """Whether this is the admin. Raises what psycopg raises when the database is away."""
        known = await self._read_login()
        if known is None:
            return False
        name, password_hash = known
        claim = "\0".join((name, password_hash, user, password)).encode()
        digest = hmac.digest(self._key, claim, hashlib.sha256)
        if self._right.get(digest, 0.0) > time.monotonic():
            return True
        right_name = hmac.compare_digest(name.encode(), user.encode())
        # A wrong name costs the same time as a wrong password.
        right_password = await anyio.to_thread.run_sync(_check_hash, password, password_hash, limiter=self._bcrypt)
        if right_name and right_password:
            self._remember(digest)
        return right_name and right_password

    async def _read_login(self) -> tuple[str, str] | None:
        in_force = await self._desired.read()
        if in_force and in_force.lab.admin:
            return in_force.lab.admin.user, in_force.lab.admin.password_hash
        if self._settings.admin_password_hash is None:
            return None
        return self._settings.admin_user, self._settings.admin_password_hash.get_secret_value()

    def _remember(self, digest: bytes) -> None:
        now = time.monotonic()
        if len(self._right) >= REMEMBERED:
            self._right = {known: until for known, until in self._right.items() if until > now}
        self._right[digest] = now + REMEMBERED_S


def _check_hash(password: str, password_hash: str) -> bool:
    try:
        # bcrypt reads 72 bytes and refuses more; a longer password was hashed by its first 72.
        return bcrypt.checkpw(password.encode()[:72], password_hash.encode())
    except ValueError:
        return False


def read_basic(header: str | None) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header (RFC 7617), or None."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64, not ASCII, or not UTF-8 inside
        return None
    return (user, password) if colon else None


async def admin_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Guard: 401 unless the call carries the admin's login. Notes the name as the call's actor."""
    login = read_basic(connection.headers.get("authorization"))
    if login is None or not await connection.app.state.admins.check(*login):
        raise NotAuthorizedException(
            "this needs the admin's name and password (HTTP Basic)",
            headers={"WWW-Authenticate": 'Basic realm="LabLink", charset="UTF-8"'},
        )
    connection.state.actor = f"admin/{login[0]}"


async def admin_unless_public(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of the old system's public queries: open with `public_queries: true`, else for admins."""
    in_force = await connection.app.state.desired.read()
    if in_force is None or not in_force.lab.public_queries:
        await admin_only(connection, handler)


def same_site_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Guard of everything: a page of another site must not make a browser change something here.

    Browsers name the relation of the sites (Fetch Metadata), but over plain HTTP only the `Origin`; programs send neither.
    """
    if connection.scope.get("method") not in SAFE and not _is_from_here(connection):
        raise PermissionDeniedException("this came from a page of another site; open LabLink itself and do it there")


def _is_from_here(connection: AnyConnection) -> bool:
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = connection.headers.get("origin")
    url: str = connection.app.state.settings.allocator_url  # a proxy may send another Host
    own = (connection.headers.get("host", ""), url.partition("://")[2].partition("/")[0])
    return origin is None or origin.partition("://")[2] in filter(None, own)
