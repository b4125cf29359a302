"""The calls that VMs and the log Lambda make by the thousands a second, answered beside Litestar.

Its routing, injection and validation take three times as long as the work itself. What is declared there stays the contract: the same
functions are called, and whatever is not a plain call of a program with a valid body is answered by Litestar.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request
from litestar.enums import HttpMethod, ScopeType
from litestar.types import HTTPScope, Message, Receive, Scope, Send
from pydantic import BaseModel, ValidationError

from api import answers, logs, telemetry
from api.body_limit import LONGEST_BODY
from api.errors import EXCEPTION_HANDLERS
from api.intake import Intake

AnyRequest = Request[Any, Any, Any]
OF_PROGRAMS = frozenset({b"authorization", b"content-type"})  # without them it is for Litestar to say what is missing
JSON = b"application/json"
OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site", b"cookie"})  # these are checked there


@dataclass(frozen=True, slots=True)
class Way:
    """What is called, and what its `data` is made of; None: it takes the `body` as it is."""

    act: Callable[..., Awaitable[answers.Message]]
    body: type[BaseModel] | None


Found = tuple[Way | None, dict[str, str]]
NO_WAY: Found = (None, {})
EXACT: Mapping[str, Way] = {
    "/api/vm-status": Way(telemetry.post_status.fn, telemetry.StatusReport),
    "/api/gpu_health": Way(telemetry.post_gpu.fn, telemetry.GpuReport),
    "/api/update_inuse_status": Way(telemetry.post_use.fn, telemetry.UseReport),
    "/api/vm-logs": Way(logs.take_lines, None),
}
NAMED = (
    ("/api/vm-metrics/", "", Way(telemetry.post_times.fn, telemetry.Times)),
    ("/api/v1/client/", "/heartbeat", Way(telemetry.post_heartbeat.fn, telemetry.Heartbeat)),
)


class Shortcut:
    """An ASGI application around Litestar's."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._intake: Intake = app.state.intake
        self._add_headers = app.before_send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way, named = find_way(scope) if scope["type"] == ScopeType.HTTP else NO_WAY
        if way is None:
            await self._app(scope, receive, send)
            return
        body, receive_again = await read_body(receive)
        arguments = read_arguments(way, body)
        if arguments is None:
            await self._app(scope, receive_again, send)
            return

        async def send_all(message: Message) -> None:
            for add in self._add_headers:
                await add(message, scope)
            await send(message)

        request: AnyRequest = Request(scope, receive_again)
        await self._answer(way, request, {**arguments, **named}, send_all)

    async def _answer(self, way: Way, request: AnyRequest, arguments: dict[str, Any], send: Send) -> None:
        try:
            answer = await way.act(request=request, intake=self._intake, **arguments)
        except Exception as error:
            handle = next(EXCEPTION_HANDLERS[kind] for kind in type(error).__mro__ if kind in EXCEPTION_HANDLERS)
            answered = handle(request, error).to_asgi_response(app=None, request=request)
            await answered(request.scope, request.receive, send)
            return
        content = answer.model_dump_json().encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})


def find_way(scope: HTTPScope) -> Found:
    """The way of a program's plain POST, and the host name that its path holds."""
    if scope["method"] != HttpMethod.POST:
        return NO_WAY
    headers = dict(scope["headers"])
    if not headers.keys() >= OF_PROGRAMS or headers.keys() & OF_BROWSERS or headers[b"content-type"] != JSON:
        return NO_WAY
    if b"html" in headers.get(b"accept", b"").lower():  # a refusal is then a page, which Litestar alone renders
        return NO_WAY
    path = scope["path"]
    if path in EXACT:
        return EXACT[path], {}
    for before, after, way in NAMED:
        if path.startswith(before) and path.endswith(after):
            hostname = path[len(before) : len(path) - len(after)]
            return NO_WAY if "/" in hostname or not hostname else (way, {"hostname": hostname})
    return NO_WAY


async def read_body(receive: Receive) -> tuple[bytes, Receive]:
    """The body, and a `receive` that gives it again. A body above the limit comes back cut: the rest is still to be received."""
    messages: list[Any] = []
    body = b""
    while not messages or (messages[-1].get("more_body") and len(body) <= LONGEST_BODY):
        messages.append(await receive())
        body += messages[-1].get("body", b"")

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return body, again


def read_arguments(way: Way, body: bytes) -> dict[str, Any] | None:
    """None for a body that Litestar is to refuse."""
    if len(body) > LONGEST_BODY:
        return None
    if way.body is None:
        return {"body": body}
    try:
        return {"data": way.body.model_validate_json(body)}
    except ValidationError:
        return None
