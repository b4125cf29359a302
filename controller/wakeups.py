"""What wakes the loop before its timer does: NOTIFY from PostgreSQL, and changes of `lablink.yaml`. Losing either costs a delay only."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import structlog
from watchfiles import Change, awatch

from store.listen import Listener

log = structlog.get_logger()

Wake = Callable[[str, str], None]
RECONNECT_S = 2.0


async def listen(dsn: str, channels: tuple[str, ...], wake: Wake) -> None:
    """Pass each notification on as a wake-up; after every (re)connect wake all channels once. Runs for ever."""

    def wake_all() -> None:
        for channel in channels:
            wake(channel, "")

    await Listener(dsn, {channel: partial(wake, channel) for channel in channels}, wake_all).run()


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
