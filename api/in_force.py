"""The desired version in force, as this process knows it: read when it is first needed and after each notification."""

from store.db import Db
from store.desired import InForce, read_in_force


class DesiredInForce:
    """Every handler that depends on `lablink.yaml` reads it here."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._known: InForce | None = None
        self._fresh = False

    def forget(self) -> None:
        """A newer version may be there: the next read asks the database."""
        self._fresh = False

    async def read(self) -> InForce | None:
        """The version in force, or None before the first one was accepted."""
        if not self._fresh or self._known is None:
            self._fresh = True  # before the read, so that a notification during it counts
            try:
                async with self._db.connection() as conn:
                    found = await read_in_force(conn)
            except BaseException:
                self._fresh = False
                raise
            # Of two reads at once the older may end last; versions only rise.
            if found and (self._known is None or found.version > self._known.version):
                self._known = found
        return self._known
