"""The WSGI application in front of moto: answers `/_sandbox/…` itself, and lets a call be late, refused or lied to.

`sandbox.aws_server` wires it. It hands calls to moto (`sandbox.moto_server`) and says which changed something; faults come
from `sandbox.faults`.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication
from xml.etree import ElementTree

from sandbox.aws_calls import Call, read_call, render_error
from sandbox.faults import Faults, Kill, Listing, Stop, UnknownFaultError, read_fault

PREFIX = "/_sandbox"
_SLOW_LISTING_S = 5.0
_REMEMBERED = 64  # answers to listings, for `stale`

Answer = tuple[str, list[tuple[str, str]], bytes]
HarmInstance = Callable[[str, str], bool]  # ("kill" or "stop", instance id) → whether there is such an instance


class FaultInjector:
    """Also counts: `GET /_sandbox/calls` has how often each action arrived since the start."""

    def __init__(
        self,
        moto: WSGIApplication,
        faults: Faults,
        world_lock: threading.Lock,
        touch: Callable[[], None],
        harm_instance: HarmInstance,
    ) -> None:
        self._moto = moto
        self._faults = faults
        self._world_lock = world_lock
        self._touch = touch
        self._harm_instance = harm_instance
        self._calls: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._listings: dict[tuple[str, str], Answer] = {}
        self._ending = threading.Event()

    def stop(self) -> None:
        """Ends the waiting of late calls."""
        self._ending.set()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(PREFIX + "/"):
            status, headers, body = self._answer_control(environ, path.removeprefix(PREFIX))
        else:
            status, headers, body = self._answer_call(environ)
        start_response(status, headers)
        return [body]

    # ------------------------------------------------------------------------------------------------------ control

    def _answer_control(self, environ: dict[str, Any], path: str) -> Answer:
        method = environ["REQUEST_METHOD"]
        if (method, path) == ("GET", "/calls"):
            with self._counting:
                return _render_json(200, dict(self._calls))
        if (method, path) == ("GET", "/faults"):
            return _render_json(200, self._faults.read_all())
        if (method, path) == ("DELETE", "/faults"):
            self._faults.clear()
            return _render_json(200, {})
        if (method, path) == ("POST", "/faults"):
            return self._add_fault(environ)
        return _render_json(404, {"error": f"There is no {method} {path}: GET, POST, DELETE /faults and GET /calls."})

    def _add_fault(self, environ: dict[str, Any]) -> Answer:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            fault = read_fault(json.loads(body))
        except ValueError:
            return _render_json(400, {"error": "The body is not JSON."})
        except UnknownFaultError as error:
            return _render_json(400, {"error": str(error)})
        if not isinstance(fault, Kill | Stop):
            return _render_json(201, {"id": self._faults.add(fault)})
        verb, instance_id = ("kill", fault.kill) if isinstance(fault, Kill) else ("stop", fault.stop)
        with self._world_lock:
            known = self._harm_instance(verb, instance_id)
        self._touch()
        if not known:
            return _render_json(404, {"error": f"There is no instance {instance_id}."})
        return _render_json(201, {"instance": instance_id})

    # -------------------------------------------------------------------------------------------------------- calls

    def _answer_call(self, environ: dict[str, Any]) -> Answer:
        call = read_call(environ)
        with self._counting:
            self._calls[call.action] += 1
        self._ending.wait(self._faults.read_latency_s(call))
        refusal = self._faults.take_refusal(call)
        if refusal is not None:
            self._ending.wait(refusal.seconds)
            return _refuse(call, refusal.error, refusal.message, refusal.status)
        lie = self._faults.take_listing(call)
        if lie is not None:
            return self._answer_lie(call, lie, environ)
        answer = self._ask_moto(call, environ)
        if call.lists_instances:
            self._remember(call, answer)
        return answer

    def _answer_lie(self, call: Call, lie: Listing, environ: dict[str, Any]) -> Answer:
        if lie.listing == "error":
            return _refuse(call, "InternalError", "Injected by the sandbox.", None)
        with self._counting:
            earlier = self._listings.get((call.region, call.form))
        if lie.listing == "stale" and earlier is not None:
            return earlier
        if lie.listing == "slow":
            self._ending.wait(_SLOW_LISTING_S if lie.seconds is None else lie.seconds)
        status, headers, body = self._ask_moto(call, environ)
        if lie.listing in ("short", "empty") and status.startswith("200"):
            body = _thin_out(body, keep_every_second=lie.listing == "short")
        return status, headers, body

    def _ask_moto(self, call: Call, environ: dict[str, Any]) -> Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
            begun.append((status, headers))
            return lambda _body: None

        body = b"".join(self._moto(environ, start_response))
        if call.changes_something:
            self._touch()
        status, headers = begun[-1]
        if environ["REQUEST_METHOD"] == "HEAD":  # it tells the length of what is not sent
            return status, headers, body
        return (status, [(name, value) for name, value in headers if name.lower() != "content-length"], body)

    def _remember(self, call: Call, answer: Answer) -> None:
        with self._counting:
            key = (call.region, call.form)
            self._listings.pop(key, None)
            self._listings[key] = answer
            if len(self._listings) > _REMEMBERED:
                self._listings.pop(next(iter(self._listings)))


def _refuse(call: Call, code: str, message: str, status: int | None) -> Answer:
    number, kind, body = render_error(call.service, code, message, status)
    headers = [("Content-Type", kind)]
    if kind.endswith("json-1.1"):
        headers.append(("x-amzn-ErrorType", code))
    return _render_status(number), headers, body


def _thin_out(body: bytes, *, keep_every_second: bool) -> bytes:
    """A DescribeInstances answer without its 1st, 3rd, 5th … instance, or without any and any further page."""
    root = ElementTree.fromstring(body)  # noqa: S314 - moto's own answer
    namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    ElementTree.register_namespace("", namespace.strip("{}"))
    position = 0
    for instances in root.iter(f"{namespace}instancesSet"):
        for instance in list(instances):
            if position % 2 == 0 or not keep_every_second:
                instances.remove(instance)
            position += 1
    if not keep_every_second:
        for token in root.findall(f"{namespace}nextToken"):
            root.remove(token)
    thinned: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return thinned


def _render_json(status: int, content: Any) -> Answer:
    return (_render_status(status), [("Content-Type", "application/json")], json.dumps(content).encode() + b"\n")


def _render_status(number: int) -> str:
    try:
        return f"{number} {HTTPStatus(number).phrase}"
    except ValueError:
        return f"{number} Refused"
