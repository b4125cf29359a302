"""`POST /vm_startup`: a VM asks for its person. A bare ASGI handler: thousands of these calls are open at once."""

import json
from typing import Any

import anyio
from litestar import asgi
from litestar.connection import ASGIConnection
from litestar.exceptions import MethodNotAllowedException
from litestar.types import Receive, Scope, Send

from api.callers import Callers
from api.errors import BadInputError, TooLargeError
from api.waiters import Waiters

LONGEST_BODY = 16 * 1024
BODY_S = 30.0  # who sends it more slowly holds a connection for nothing


@asgi("/vm_startup", copy_scope=False)
async def vm_startup(scope: Scope, receive: Receive, send: Send) -> None:
    """What is known at once keeps its status (400, 401, 403, 404); then the call is held until the VM has a person."""
    if scope.get("method") != "POST":
        raise MethodNotAllowedException("ask with POST", headers={"Allow": "POST"})
    state = scope["litestar_app"].state
    callers: Callers = state.callers
    waiters: Waiters = state.waiters
    connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
    hostname = _read_hostname(await _read_in_time(receive))
    caller = await callers.check_vm(connection, hostname)
    await waiters.hold(caller, callers.address_of(connection), receive, send)


async def _read_in_time(receive: Receive) -> bytes:
    try:
        with anyio.fail_after(BODY_S):
            return await _read_body(receive)
    except TimeoutError:
        raise BadInputError(f"the body did not come within {BODY_S:g} s; send it at once") from None


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadInputError("the call ended before its body did")
        body += message["body"]
        if len(body) > LONGEST_BODY:
            raise TooLargeError('the body is too long; send {"hostname": "<name>"}')
        if not message["more_body"]:
            return bytes(body)


def _read_hostname(body: bytes) -> str:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInputError('the body is not JSON; send {"hostname": "<name>"}') from None
    hostname = asked.get("hostname") if isinstance(asked, dict) else None
    if not isinstance(hostname, str) or not hostname:
        raise BadInputError('the host name is missing; send {"hostname": "<name>"}')
    return hostname
