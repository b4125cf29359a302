"""How many VMs are free, for all who look at the request page at once. Reads only."""

from collections.abc import Sequence
from time import monotonic

from api.batch import Batch
from store.db import Db
from store.seat import count_free

FRESH_S = 1.0


class FreeCount:
    """How many VMs are free, at most a second old: however many look, the database is asked once."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._known = 0
        self._until = 0.0
        self._look = Batch(self._look_once)

    async def read(self) -> int:
        return self._known if monotonic() < self._until else await self._look(None)

    async def _look_once(self, askers: Sequence[None]) -> Sequence[int]:
        async with self._db.connection() as conn:
            self._known = await count_free(conn)
        self._until = monotonic() + FRESH_S
        return [self._known] * len(askers)
