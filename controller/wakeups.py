"""What wakes the loop before its timer does: NOTIFY from PostgreSQL, and changes of `lablink.yaml`. Losing either costs a delay only."""

from collections.abc import Callable
from pathlib import Path

import anyio
import structlog
from psycopg import AsyncConnection, sql
from watchfiles import Change, awatch

from store.db import UNREACHABLE

log = structlog.get_logger()

Wake = Callable[[str, str], None]
RECONNECT_S = 2.0


async def listen(dsn: str, channels: tuple[str, ...], wake: Wake) -> None:
    """Pass each notification on as a wake-up; after every (re)connect wake all channels once. Runs for ever."""
    while True:
        try:
            async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
                for channel in channels:
                    await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    wake(channel, "")
                await _pass_on(conn, wake)
        except (*UNREACHABLE, TimeoutError) as error:
            log.warning("not listening to the database; trying again", error=str(error))
        await anyio.sleep(RECONNECT_S)


async def _pass_on(conn: AsyncConnection[tuple[object, ...]], wake: Wake) -> None:
    while True:
        async for note in conn.notifies(timeout=5):
            wake(note.channel, note.payload)
        with anyio.fail_after(3):  # a half-open connection hangs here, and is made anew
            await conn.execute("SELECT 1")


async def watch_file(path: Path, wake: Wake) -> None:
    """Wake the reconciler when the file, or a start-up script below its folder, changes. Runs for ever.

    The folder is watched: editors replace files, and a watch on the file alone would follow the old one.
    """

    def concerns(_change: Change, name: str) -> bool:
        """Our own drafts of the file begin with a dot: a draft that could not take its place must not wake us to try again."""
        return Path(name).name == path.name or not Path(name).name.startswith(".")

    while True:
        try:
            async for _ in awatch(
                path.parent, watch_filter=concerns, debounce=200, step=50, recursive=False, rust_timeout=1000,
                yield_on_timeout=False,
            ):  # fmt: skip
                await anyio.sleep(0.3)  # `desired_file.QUIET_S`: a file just written may still be half-written
                wake("reconcile", "")
        # No such folder, or no watches left: each tick reads the file all the same.
        except (OSError, RuntimeError) as error:
            log.warning("the desired file cannot be watched; trying again", folder=str(path.parent), error=str(error))
        await anyio.sleep(RECONNECT_S)
