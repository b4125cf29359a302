"""uvicorn around the application: held calls and streams are ended before it waits for open connections."""

import logging
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from litestar import Litestar

from api.address import Network
from api.connection import make_connection
from api.shortcut import Shortcut

BROKEN_OFF = "ASGI callable returned without completing response."
KEEP_ALIVE_S = (
    75  # longer than what proxies and clients keep, so that none sends into a connection that is being closed
)
GRACE_S = 10  # for ordinary calls that are still at work


class Server(uvicorn.Server):
    """A uvicorn server of `create_app`'s application."""

    def __init__(self, app: Litestar, host: str, port: int, proxies: Sequence[Network] = ()) -> None:
        # access_log: a line a call would drown the rest; log_config: structlog is set up by the program.
        config = uvicorn.Config(
            Shortcut(app),
            host=host,
            port=port,
            http=make_connection(proxies),
            ws="none",
            access_log=False,
            proxy_headers=False,  # uvicorn would believe whoever comes from this machine; api.address knows the proxies
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=8192,
        )
        super().__init__(config)
        self._app = app
        logging.getLogger("uvicorn.error").addFilter(_is_news)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.waiters.close()
        self._app.state.feed.close()
        self._app.state.log_feed.close()
        self._app.state.followers.bell.close()
        await super().shutdown(sockets)


def _is_news(record: logging.LogRecord) -> Any:
    """Breaking off a held call is how it ends without an assignment; uvicorn takes it for a mistake."""
    return record.msg != BROKEN_OFF
