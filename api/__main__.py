"""`python -m api`: one API process. Several may run on one database. Exit 1 with a sentence when it cannot start."""

import gc
import socket
import sys

import uvloop
from pydantic import ValidationError

from api.app import create_app
from api.open_files import allow_many_files
from api.server import Server
from schemas.settings import Settings
from store.db import open_db
from store.log import redact, set_up_log
from store.secret import SecretError

MOST_CONNECTIONS = 8


def main() -> None:
    """Serves until SIGINT or SIGTERM."""
    set_up_log()
    allow_many_files()
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = "; ".join(f"LABLINK_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        sys.exit(f"the API cannot start: {wrong}")
    redact.learn(settings)
    try:
        listening = bind(settings.host, settings.port)
    except OSError as error:
        sys.exit(
            f"the API cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
            "stop what uses the port, or set LABLINK_PORT to another"
        )
    try:
        uvloop.run(serve(settings, listening))
    except SecretError as error:
        sys.exit(f"the API cannot start: {error} (LABLINK_ENCRYPTION_KEY, or the file encryption_key in LABLINK_KEYS)")


def bind(host: str, port: int) -> socket.socket:
    """A socket on the port; raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    return listening


async def serve(settings: Settings, listening: socket.socket) -> None:
    """One server on this socket until it is told to stop."""
    async with open_db(settings.database_dsn, max_size=MOST_CONNECTIONS) as db:
        app = create_app(settings, db)
        gc.collect()
        gc.freeze()  # what is there for good: looking through it again and again would hold up a call for 100 ms now and then
        await Server(app, settings.host, settings.port, settings.trusted_proxies).serve([listening])


if __name__ == "__main__":
    main()
