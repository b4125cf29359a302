"""Which site a call comes from: a page of another one must not make a browser change something here."""

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.types import ASGIApp, Receive, Scope, Send

from api.address import AnyConnection

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN = "this came from a page of another site; open LabLink itself and do it there"


def same_site_only(app: ASGIApp) -> ASGIApp:
    """Middleware of everything; who has to be kept out gets 403.

    Browsers name the relation of the sites (Fetch Metadata), but over plain HTTP only the `Origin`; programs send neither.
    Not a guard, for each of which Litestar copies the handler at every call, and not `before_request`, which bare ASGI handlers lack.
    """

    async def judge(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") not in SAFE and not _is_from_here(ASGIConnection(scope)):
            raise PermissionDeniedException(FOREIGN)
        await app(scope, receive, send)

    return judge


def _is_from_here(connection: AnyConnection) -> bool:
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin in _own_origins(connection)


def is_surely_from_here(connection: AnyConnection) -> bool:
    """A browser that sends a session says where the call comes from, or is refused."""
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    return site == "same-origin" if site is not None else origin in _own_origins(connection)


def _own_origins(connection: AnyConnection) -> set[str]:
    """The declared URL's, and what the caller called us by: a proxy may send another Host."""
    scheme, _, rest = connection.app.state.settings.allocator_url.partition("://")
    declared, host = rest.partition("/")[0], connection.headers.get("host", "")
    called = {f"http://{host}", f"https://{host}"} if host and host != declared else set()
    return {f"{scheme}://{declared}"} | called
