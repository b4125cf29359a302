"""A TCP proxy before PostgreSQL whose connections can go silent: nothing passes and nothing is closed, as behind a broken NAT."""

import asyncio
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK = 65_536


class SilentProxy:
    """`happened` is what came to pass at it, in order; a test adds its own. Only connections made before `go_silent` are."""

    def __init__(self, dsn: str) -> None:
        told = conninfo_to_dict(dsn)
        self._socket = f"{told['host']}/.s.PGSQL.{told['port']}"
        self._dsn = dsn
        self._passing = asyncio.Event()
        self._passing.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.happened: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(self._dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def go_silent(self) -> None:
        self._passing.clear()
        self._passing = asyncio.Event()
        self._passing.set()
        self.happened.append("silent")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.happened.append("connected")
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        for source, drain in ((reader, server_writer), (server_reader, writer)):
            pump = asyncio.create_task(_pump(source, drain, self._passing))
            self._pumps.add(pump)


async def _pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    """Until either end closes; what comes while `passing` is not set is kept for ever."""
    try:
        while data := await source.read(CHUNK):
            await passing.wait()
            drain.write(data)
            await drain.drain()
    except OSError:
        pass
    finally:
        drain.close()
