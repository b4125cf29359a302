"""`api`: every call of the API by who makes it, from the OpenAPI document; and the pages, from the routes themselves."""

import base64
from collections.abc import Iterator
from math import ceil
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from pictures.picture import Card, Picture, Row
from schemas.settings import Settings

COLUMNS = 4
LONGEST = 26  # rows of a card
METHODS = ("get", "post", "put", "patch", "delete")
CALLERS = {
    "people": ("People", "people"),
    "machines": ("Client VMs, log Lambda", "machine"),
    "scripts": ("Scripts of the older system", "script"),
    "api": ("Admins, programs", "command"),
    "pages": ("Browsers", "person"),
}


def make_api() -> Litestar:
    """An API that nobody has started."""
    key = base64.b64encode(bytes(32)).decode()
    settings = Settings(database_dsn="", deployment_secret="of nobody", encryption_key=key)  # noqa: S106
    return create_app(settings, AsyncConnectionPool("", open=False))


def draw_calls(app: Litestar) -> Picture:
    return Picture(
        title="The calls of LabLink's API",
        about="People need no login, machines the token of a VM or of the Lambda, all others a login or an API token with a scope.",
        cards=(*_list_tags(app.openapi_schema.to_schema()), *_list_pages(app)),
        arrows=(),
        columns=COLUMNS,
    )


def _list_tags(document: dict[str, Any]) -> Iterator[Card]:
    for tag in document["tags"]:
        name = tag["name"]
        rows = [
            Row((method.upper(), path))
            for path, methods in document["paths"].items()
            for method in METHODS
            if name in methods.get(method, {}).get("tags", ())
        ]
        yield from _split(name, tag["description"], rows)


def _list_pages(app: Litestar) -> Iterator[Card]:
    """What is in no OpenAPI document: HTML, for browsers."""
    rows = [
        Row((method, route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path_format.startswith(("/static", "/schema"))
        for handler in route.route_handlers
        if isinstance(handler, HTTPRouteHandler) and handler.include_in_schema is False
        for method in sorted({str(one) for one in handler.http_methods} - {"OPTIONS", "HEAD"})
    ]
    yield from _split(
        "pages", "Pages, which no OpenAPI document has.", sorted(rows, key=lambda row: (row.cells[1], row.cells[0]))
    )


def _split(name: str, words: str, rows: list[Row]) -> Iterator[Card]:
    """Long tables in parts, so that no card is taller than a page."""
    caller, icon = CALLERS[name]
    long = ceil(len(rows) / ceil(len(rows) / LONGEST))
    parts = [rows[start : start + long] for start in range(0, len(rows), long)]
    for number, part in enumerate(parts, 1):
        title = caller if len(parts) == 1 else f"{caller} ({number} of {len(parts)})"
        yield Card(f"{name} {number}", title, icon, lines=(words,), rows=tuple(part))
