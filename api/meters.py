"""What this process counts of itself, for `/metrics`. A restart begins anew, as Prometheus expects of counters."""

import re
from functools import cache
from time import perf_counter

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge, Histogram

WAKE_UPS = Counter("lablink_wake_ups", "VMs that this process told of their person")
WAKE_UP_SECONDS = Histogram(
    "lablink_wake_up_seconds",
    "From the commit that gave a waiting VM to a person to the whole answer of its held call",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LOG_LINES = Counter("lablink_log_lines", "Log lines that were sent to this process, repeated ones too")
ROUTE = ("method", "path")
ANSWERED = (*ROUTE, "status_code")
IN_PROGRESS = Gauge("lablink_requests_in_progress", "Calls that are not answered yet", ROUTE)
REQUESTS = Counter("lablink_requests", "Calls that were answered", ANSWERED)
FAILED_REQUESTS = Counter("lablink_requests_error", "Calls that failed for a reason of ours", ANSWERED)
REQUEST_SECONDS = Histogram("lablink_request_duration_seconds", "From a call to the end of its answer", ANSWERED)
SERVER_ERROR = 500
LASTING = re.compile(r"/(vm_startup$|seat/live|live|admin/.*live|api/v1/.*(events|follow))")
"""Calls that are meant to last would hide how long others take."""


def count_requests(app: ASGIApp) -> ASGIApp:
    """Middleware: counts and times Litestar's calls by route, method and status; what the shortcut answers is not among them.

    Litestar's own looks each metric up by name and labels at every call: a seventh of what a person's request costs.
    """

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or _lasts(scope["path_template"]):
            await app(scope, receive, send)
            return
        status = SERVER_ERROR

        async def notice(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        route = (scope["method"], scope["path_template"])
        began = perf_counter()
        _in_progress(*route).inc()
        try:
            await app(scope, receive, notice)
        except HTTPException as refused:  # by a middleware between this one and the route
            status = refused.status_code
            raise
        finally:
            _in_progress(*route).dec()
            _note(*route, status, perf_counter() - began)

    return count


@cache
def _lasts(path: str) -> bool:
    return LASTING.match(path) is not None


@cache
def _in_progress(*route: str) -> Gauge:
    return IN_PROGRESS.labels(*route)


@cache  # what is kept grows as the metrics themselves: with the routes and their statuses
def _meters(*answered: str) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(*answered), REQUEST_SECONDS.labels(*answered)


def _note(method: str, path: str, status: int, seconds: float) -> None:
    counter, timer = _meters(method, path, str(status))
    counter.inc()
    timer.observe(seconds)
    if status >= SERVER_ERROR:
        FAILED_REQUESTS.labels(method, path, str(status)).inc()
