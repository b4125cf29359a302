"""moto as AWS is called: one call at a time, and what it fails at is the service's own InternalError, which SDKs try again.

`sandbox.aws_server` puts `MotoCalls` behind the fault injector; tests that need no process of their own start `MotoServer`.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from sandbox.aws_calls import read_service, render_error

log = logging.getLogger(__name__)


def read_own_tags(resource: Any) -> list[dict[str, str]]:
    """Of one resource, as moto's `get_tags` has them, which looks through the tags of all: a listing of 500 VMs took it seconds."""
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource.id), "") if resource.id else ""
    tags = resource.ec2_backend.tags.get(resource.id, {})
    return [{"resource_id": resource.id, "key": key, "value": tags[key], "resource_type": kind} for key in tags]


TaggedEC2Resource.get_tags = read_own_tags  # type: ignore[assignment,method-assign]


class QuietHandler(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Nothing: a fleet makes thousands of calls."""


class MotoCalls:
    """moto's WSGI application under a lock, since moto is not made for threads: a launch that looks for the default
    security group while another call makes a group fails with "dictionary changed size during iteration"."""

    def __init__(self, world_lock: threading.Lock, moto: WSGIApplication | None = None) -> None:
        self._world_lock = world_lock
        self._moto = moto or DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def begin(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
            begun.append((status, headers))
            return lambda _body: None

        try:
            with self._world_lock:
                body = b"".join(self._moto(environ, begin))
        except NotImplementedError as error:
            number, kind, body = render_error(read_service(environ), "NotImplemented", f"moto: {error}", 501)
            begun.append((f"{number} Not Implemented", [("Content-Type", kind)]))
        except Exception as error:  # moto's own fault: its trace is for the log, AWS's words for the caller
            log.exception("moto failed at %s %s", environ["REQUEST_METHOD"], environ.get("PATH_INFO"))
            number, kind, body = render_error(read_service(environ), "InternalError", f"moto failed: {error!r}")
            begun.append((f"{number} Internal Server Error", [("Content-Type", kind)]))
        start_response(*begun[-1])
        return [body]


class MotoServer:
    """A server on a free port of loopback, in threads of this process; it runs until `stop`."""

    def __init__(self, moto: WSGIApplication | None = None) -> None:
        calls = MotoCalls(threading.Lock(), moto)
        self._server = make_server("127.0.0.1", 0, calls, threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="moto", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
