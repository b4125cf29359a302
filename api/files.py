"""`/static`: what pages load (styles, scripts, pictures), each by its own name."""

from pathlib import Path

from litestar import Router
from litestar.datastructures import CacheControlHeader
from litestar.handlers import BaseRouteHandler
from litestar.static_files import create_static_files_router

from api.address import AnyConnection
from api.errors import BadInputError

FOLDER = Path(__file__).parent / "static"
LAST = CacheControlHeader(max_age=300)


async def is_nameable(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Guard: the file system itself raises at a NUL. Raises BadInputError."""
    if "\0" in connection.scope["path"]:
        raise BadInputError("the address holds a character that no name here has")


def make_files() -> Router:
    return create_static_files_router("/static", [FOLDER], cache_control=LAST, guards=[is_nameable])
