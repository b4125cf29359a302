"""The wiring of the API: makes each part once, hands it to the handlers, runs the loops beside them. No behaviour of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import structlog
from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader, State
from litestar.di import Provide
from litestar.plugins.pydantic import PydanticPlugin
from litestar.static_files import create_static_files_router

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
from api.admins import Access, in_scope, same_site_only
from api.api_tokens import ApiTokens
from api.binder import Binder
from api.callers import Callers
from api.contact import Contacts
from api.desk import Desk
from api.door import Door
from api.errors import EXCEPTION_HANDLERS
from api.followers import Followers
from api.headers import add_headers
from api.in_force import DesiredInForce
from api.intake import Intake
from api.listen import Listener
from api.log_feed import LogFeed
from api.log_writer import LogWriter
from api.openapi import complete, make_config
from api.outlook import Outlook
from api.pages.engine import make_templates
from api.pages.free import FreeCount
from api.pages.routes import ADMIN, PEOPLE
from api.passwords import Passwords
from api.presence import keep_reporting
from api.reports import Reports
from api.retention import keep_tidy
from api.signal import Signal
from api.statuses import Statuses
from api.waiters import Waiters
from schemas.settings import Settings
from store.api_token import CHANNEL as API_TOKEN
from store.assignment import CHANNEL as ASSIGNMENT
from store.db import Db
from store.desired import CHANNEL as DESIRED
from store.event import CHANNEL as EVENT
from store.secret import Cipher, read_key

log = structlog.get_logger()

HERE = Path(__file__).parent
LARGEST_BODY = 16 * 1024 * 1024  # read to its end and refused, so that the caller sees the 413 and no broken connection
RESTART_S = 1.0
FILES_LAST = CacheControlHeader(max_age=300)

Loop = Callable[[], Awaitable[None]]


def create_app(settings: Settings, db: Db) -> Litestar:
    """The application over an open `db`. Its state has `waiters`, `feed` and `log_feed`, which a server closes before it stops."""
    in_force, feed, binder, contacts = DesiredInForce(db), Signal(), Binder(db), Contacts(db)
    log_feed, waiters = LogFeed(db), Waiters(db, binder, contacts)
    callers = Callers(settings, db, in_force, contacts)
    api_tokens = ApiTokens(db)
    access = Access(settings, Passwords(settings, in_force), api_tokens)
    followers = Followers(db, binder)

    def hear_of(hostname: str) -> None:
        waiters.look(hostname)
        followers.hear()

    def look_again() -> None:
        in_force.forget()
        api_tokens.forget()
        waiters.sweep()
        feed.ring()
        followers.hear()

    hear = {
        API_TOKEN: lambda _: api_tokens.forget(),
        ASSIGNMENT: hear_of,
        DESIRED: lambda _: in_force.forget(),
        EVENT: lambda _: feed.ring(),
    }
    listener = Listener(settings.database_dsn, hear, look_again)
    loops: dict[str, Loop] = {
        "listen": listener.run,
        "waiters": waiters.run,
        "beat": waiters.beat,
        "contacts": contacts.run,
        "token use": api_tokens.run,
        "log feed": log_feed.run,
        "followers": followers.run,
        "presence": lambda: keep_reporting(db),
        "retention": lambda: keep_tidy(db, in_force),
    }
    if settings.slow_poll_s:
        loops["slow poll"] = lambda: _every(settings.slow_poll_s, look_again)
    intake = Intake(callers, db, in_force, LogWriter(db, log_feed), Reports(db))
    parts = {
        "access": access,
        "api_tokens": api_tokens,
        "binder": binder,
        "callers": callers,
        "cipher": Cipher(read_key(settings.encryption_key.get_secret_value())),
        "contacts": contacts,
        "collections": collect.Collections(),
        "db": db,
        "desired": in_force,
        "door": Door(),
        "desk": Desk(db),
        "feed": feed,
        "followers": followers,
        "free": FreeCount(db),
        "intake": intake,
        "listener": listener,
        "log_feed": log_feed,
        "outlook": Outlook(db),
        "settings": settings,
        "statuses": Statuses(db),
    }
    state = {
        "access": access,
        "callers": callers,
        "desired": in_force,
        "feed": feed,
        "intake": intake,
        "log_feed": log_feed,
        "followers": followers,
        "settings": settings,
    }
    documented = make_config()
    app = Litestar(
        route_handlers=list_routes(),
        before_send=[add_headers(settings)],
        dependencies={name: _provide(part) for name, part in parts.items()},
        exception_handlers=EXCEPTION_HANDLERS,
        guards=[same_site_only],
        lifespan=[lambda _: _running(loops, contacts)],
        logging_config=None,
        openapi_config=documented,
        # None: as strict as each field says that it is; a bool in this place would overrule the fields.
        plugins=[PydanticPlugin(validate_strict=None)],  # type: ignore[arg-type]
        request_max_body_size=LARGEST_BODY,
        state=State({**state, "waiters": waiters}),
        template_config=make_templates(),
    )
    complete(app, documented)
    return app


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
        *credentials.OLD_ROUTES,
        *login.ROUTES,
        *collect.ROUTES,
        *launch.ROUTES,
        Router("/api/v1", route_handlers=ours, guards=[in_scope]),
        create_static_files_router(path="/static", directories=[HERE / "static"], cache_control=FILES_LAST),
    ]


def _provide(part: Any) -> Provide:
    return Provide(lambda: part, sync_to_thread=False, use_cache=True)


@asynccontextmanager
async def _running(loops: dict[str, Loop], contacts: Contacts) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for name, loop in loops.items():
            tasks.start_soon(_keep, name, loop)
        yield
        tasks.cancel_scope.cancel()
    await contacts.flush()


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
