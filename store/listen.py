"""The one LISTEN connection of a process: wakes whoever waits, and has them all look again after every gap.

A notification is a hint, the tables are the truth; what a broken connection swallowed is found by the sweep.
"""

from collections.abc import Callable, Mapping

import anyio
import structlog
from psycopg import AsyncConnection, Error
from psycopg.sql import SQL, Identifier

log = structlog.get_logger()

QUIET_S = 5.0  # after this long the connection is tried with a statement
ANSWER_S = 3.0  # within this time it must answer, else it is half-open
RETRY_S = 1.0


class Listener:
    """Calls `hear[channel](key)` for each notification and `sweep` after each (re)connection; neither may block."""

    def __init__(self, dsn: str, hear: Mapping[str, Callable[[str], None]], sweep: Callable[[], None]) -> None:
        self._dsn = dsn
        self._hear = hear
        self.sweep = sweep
        self.connected = False

    async def run(self) -> None:
        """For ever: connect, LISTEN, sweep, follow."""
        while True:
            try:
                await self._listen()
            except (Error, TimeoutError, OSError) as error:
                log.warning("listen.lost", error=str(error).strip())
            self.connected = False
            await anyio.sleep(RETRY_S)

    async def _listen(self) -> None:
        with anyio.fail_after(QUIET_S + ANSWER_S):
            conn = await AsyncConnection.connect(self._dsn, autocommit=True, application_name="lablink-listen")
        async with conn:
            with anyio.fail_after(ANSWER_S):
                for channel in self._hear:
                    await conn.execute(SQL("LISTEN {}").format(Identifier(channel)))
            self.connected = True
            self.sweep()
            while True:
                await self._follow(conn)

    async def _follow(self, conn: AsyncConnection) -> None:
        """Hear for a while, then see that the connection still lives. Never both at once: they would share the socket."""
        async for note in conn.notifies(timeout=QUIET_S):
            self._hear[note.channel](note.payload)
        with anyio.fail_after(ANSWER_S):
            await conn.execute("SELECT 1")
