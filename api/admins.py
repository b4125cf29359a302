"""Who may call what: the admin by HTTP Basic or by the session of the login page, programs by API tokens with a scope.

A route says `scope=Scope.OPERATE`; one that says nothing wants `read` for a GET and `admin` for anything else. Used as Litestar guards.
"""

import base64
import time
from dataclasses import dataclass
from urllib.parse import quote

from litestar.exceptions import PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler

from api.address import AnyConnection, address_of
from api.api_tokens import ApiTokens
from api.connection import vouch
from api.errors import LoginWantedError
from api.origin import FOREIGN, SAFE, is_surely_from_here
from api.passwords import Passwords
from api.session import NAME as SESSION
from api.session import is_session
from schemas.access import Scope
from schemas.settings import Settings

BASIC = 'Basic realm="LabLink", charset="UTF-8"'
SESSION_WANTED = 'Session realm="LabLink"'
WANTED = "this needs the admin's name and password (HTTP Basic), or an API token (Bearer)"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: `actor` as events name it, and what the caller may do. `browsing`: by the session of the login page."""

    actor: str
    scope: Scope
    browsing: bool = False


class Access:
    """Finds out who calls. One for the process."""

    def __init__(self, settings: Settings, passwords: Passwords, tokens: ApiTokens) -> None:
        self.settings = settings
        self.passwords = passwords
        self.tokens = tokens
        self._secret = settings.deployment_secret.get_secret_value().encode()

    async def identify(self, connection: AnyConnection) -> Identity | None:
        """None when nobody that we know. A login that is brought counts, right or wrong; only without one a session does."""
        header = connection.headers.get("authorization")
        if header is None:
            return await self._read_session(connection)
        if (bearer := read_bearer(header)) is not None:
            token = await self.tokens.find(bearer)
            return Identity(f"token/{token.name}", token.scope) if token else None
        if (basic := read_basic(header)) is None:
            return None
        address = address_of(connection, self.settings.trusted_proxies)
        right = await self.passwords.check(*basic, address)
        return Identity(f"admin/{basic[0]}", Scope.ADMIN) if right else None

    async def _read_session(self, connection: AnyConnection) -> Identity | None:
        cookie = connection.cookies.get(SESSION)
        login = await self.passwords.read_login() if cookie else None
        if login is None or not is_session(self._secret, login, cookie, time.time()):
            return None
        return Identity(f"admin/{login.user}", Scope.ADMIN, browsing=True)


def read_basic(header: str) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header (RFC 7617), or None."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64, not ASCII, or not UTF-8 inside
        return None
    return (user, password) if colon else None


def read_bearer(header: str) -> str | None:
    """The token of an `Authorization: Bearer` header (RFC 6750), or None."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def in_scope(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard: the caller is known and may do this. Notes who it is as the call's `actor`, its `scope`, and whether a person browses."""
    wanted = read_scope(handler, str(connection.scope.get("method")))
    identity = await identify_for(connection, wanted)
    if identity is None:
        raise ask_for_login(connection)
    connection.state.actor = identity.actor
    connection.state.scope = identity.scope
    connection.state.browsing = identity.browsing


async def identify_for(connection: AnyConnection, wanted: Scope) -> Identity | None:
    """Who calls, None when nobody that we know. Raises 403 for who may not do this, or not from there."""
    access: Access = connection.app.state.access
    identity = await access.identify(connection)
    if identity is None:
        return None
    vouch(connection.scope, identity.actor)
    if not identity.scope.covers(wanted):
        raise PermissionDeniedException(f"this token may {identity.scope}, and this needs one that may {wanted}")
    if identity.browsing and connection.scope.get("method") not in SAFE and not is_surely_from_here(connection):
        raise PermissionDeniedException(FOREIGN)
    return identity


def read_scope(handler: BaseRouteHandler, method: str) -> Scope:
    """What a route wants of its caller."""
    declared: Scope | None = handler.opt.get("scope")
    return declared or (Scope.READ if method in SAFE else Scope.ADMIN)


async def admin_unless_public(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of the old system's public queries: open with `public_queries: true`, else as `in_scope`."""
    in_force = await connection.app.state.desired.read()
    if in_force is None or not in_force.lab.public_queries:
        await in_scope(connection, handler)


def ask_for_login(connection: AnyConnection) -> LoginWantedError:
    """A person is sent to the login page; a page's script is told so in its own way, or the browser would ask over it."""
    headers = connection.headers
    if "authorization" in headers:
        return LoginWantedError(WANTED, challenge=BASIC)
    if "hx-request" in headers:
        page = _login_page(headers.get("hx-current-url", "/").partition("://")[2])
        return LoginWantedError(WANTED, challenge=SESSION_WANTED, more={"HX-Redirect": f"{page}&ended=on"})
    if headers.get("sec-fetch-mode", "navigate") != "navigate":
        return LoginWantedError(WANTED, challenge=SESSION_WANTED)
    if "text/html" not in headers.get("accept", ""):
        return LoginWantedError(WANTED, challenge=BASIC)
    if connection.scope.get("method") == "GET":
        query = f"?{connection.url.query}" if connection.url.query else ""
        return LoginWantedError("log in first", page=_login_page(connection.url.path + query))
    if sent_from := headers.get("referer"):  # a form whose session ended: back to it, where what was typed is kept
        page = _login_page(sent_from.partition("://")[2])
        return LoginWantedError("the session has ended; log in first", page=f"{page}&ended=on")
    return LoginWantedError(WANTED, challenge=BASIC)


def _login_page(after: str) -> str:
    """`after` is where to go on; what stands before its path (a host) is dropped, and `POST /login` judges the rest."""
    return f"/login?next={quote('/' + after.partition('/')[2], safe='')}"
