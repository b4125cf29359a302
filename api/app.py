"""The application: routes, and the loops that run beside the handlers. Its parts are made in `wiring.py`. No behaviour of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins.pydantic import PydanticPlugin

from api import (
    assignments,
    capacity,
    collect,
    costs,
    credentials,
    desired,
    events,
    gauges,
    history,
    launch,
    log_reading,
    login,
    logs,
    metrics,
    notifications,
    pools,
    queries,
    replay,
    requests,
    simulate,
    startup,
    status,
    telemetry,
    tokens,
    vms,
)
from api.admins import in_scope
from api.body_limit import LARGEST_BODY, refuse_large
from api.errors import EXCEPTION_HANDLERS, name_request
from api.files import make_files
from api.headers import add_headers
from api.meters import count_requests
from api.openapi import complete, make_config
from api.origin import same_site_only
from api.pages.engine import make_templates
from api.pages.routes import ADMIN, PEOPLE
from api.presence import keep_reporting
from api.retention import keep_tidy
from api.wiring import Parts, make_parts
from schemas.settings import Settings
from store.db import Db

log = structlog.get_logger()

RESTART_S = 1.0

Loop = Callable[[], Awaitable[None]]


def create_app(settings: Settings, db: Db) -> Litestar:
    """The application over an open `db`. Its state has every part by name; a server closes those that hold calls before it stops."""
    parts = make_parts(settings, db)
    named = parts.by_name()
    documented = make_config()
    app = Litestar(
        route_handlers=list_routes(),
        before_request=_begin,
        before_send=[add_headers(settings)],
        dependencies={name: _provide(part) for name, part in named.items()},
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lambda _: _running(parts)],
        logging_config=None,
        middleware=[count_requests, same_site_only],
        openapi_config=documented,
        # None: as strict as each field says that it is; a bool in this place would overrule the fields.
        plugins=[PydanticPlugin(validate_strict=None)],  # type: ignore[arg-type]
        request_max_body_size=LARGEST_BODY,
        state=State(named),
        template_config=make_templates(),
    )
    complete(app, documented)
    return app


async def _begin(request: Request[Any, Any, Any]) -> None:
    name_request(request)
    await refuse_large(request)


def list_loops(parts: Parts) -> dict[str, Loop]:
    """What runs beside the handlers, by name."""
    loops: dict[str, Loop] = {
        "listen": parts.listener.run,
        "waiters": parts.waiters.run,
        "beat": parts.waiters.beat,
        "contacts": parts.contacts.run,
        "token use": parts.api_tokens.run,
        "log feed": parts.log_feed.run,
        "followers": parts.followers.run,
        "presence": lambda: keep_reporting(parts.db),
        "retention": lambda: keep_tidy(parts.db, parts.desired),
    }
    pause_s = parts.settings.slow_poll_s
    if pause_s:
        loops["slow poll"] = lambda: _every(pause_s, parts.listener.sweep)
    return loops


def list_routes() -> list[Any]:
    """The compatible endpoints at the root, our own under /api/v1 for who is logged in."""
    ours = [
        *assignments.ROUTES,
        *capacity.ROUTES,
        *costs.ROUTES,
        *credentials.ROUTES,
        *desired.ROUTES,
        *events.ROUTES,
        *pools.ROUTES,
        *replay.ROUTES,
        *status.ROUTES,
        *tokens.ROUTES,
        *vms.ROUTES,
        *gauges.ROUTES,
        *history.ROUTES,
        *notifications.ROUTES,
        *simulate.ROUTES,
    ]
    return [
        *PEOPLE,
        ADMIN,
        *requests.ROUTES,
        *assignments.HOLDERS_ROUTES,
        startup.vm_startup,
        *telemetry.ROUTES,
        *queries.ROUTES,
        *logs.ROUTES,
        *log_reading.ROUTES,
        *metrics.ROUTES,
        *credentials.OLD_ROUTES,
        *login.ROUTES,
        *collect.ROUTES,
        *launch.ROUTES,
        Router("/api/v1", route_handlers=ours, guards=[in_scope]),
        make_files(),
    ]


def _provide(part: Any) -> Provide:
    return Provide(lambda: part, sync_to_thread=False, use_cache=True)


@asynccontextmanager
async def _running(parts: Parts) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for name, loop in list_loops(parts).items():
            tasks.start_soon(_keep, name, loop)
        yield
        tasks.cancel_scope.cancel()
    await parts.contacts.flush()
    await parts.waiters.note()


async def _keep(name: str, loop: Loop) -> None:
    """A loop ends only with the process; a mistake in one must not end the others."""
    while True:
        try:
            await loop()
        except Exception as error:
            log.exception("loop.failed", loop=name, error=str(error))
        await anyio.sleep(RESTART_S)


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(seconds)
        act()
