"""A TCP proxy before PostgreSQL whose connections can go silent: nothing passes and nothing is closed, as behind a broken NAT.

They can also be reset, be slow, and be refused.
"""

import asyncio
from contextlib import suppress
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
        self._writers: set[asyncio.StreamWriter] = set()
        self.happened: list[str] = []
        self.delay_s = 0.0  # of each piece, on every connection
        self.refuses = False  # new connections, at once

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
        self.reset()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def go_silent(self) -> None:
        self._passing.clear()
        self._passing = asyncio.Event()
        self._passing.set()
        self.happened.append("silent")

    def reset(self) -> None:
        """Both ends of all connections, the silent ones too."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.happened.append("connected")
        if self.refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:  # there is no server
            writer.transport.abort()
            return
        passing = self._passing
        for source, drain in ((reader, server_writer), (server_reader, writer)):
            self._writers.add(drain)
            pump = asyncio.create_task(self._pump(source, drain, passing))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, drain: asyncio.StreamWriter, passing: asyncio.Event) -> None:
        """Until either end closes; what comes while `passing` is not set is kept for ever."""
        with suppress(OSError):
            while data := await source.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await passing.wait()
                drain.write(data)
                await drain.drain()
        drain.close()
        self._writers.discard(drain)
