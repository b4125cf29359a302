"""The statuses of all VMs: callers who ask at once share one reading, which began after all of them had asked."""

from collections.abc import Sequence

from api.batch import Batch
from store.db import Db
from store.vm import render_statuses


class Statuses:
    """`read` gives a JSON object by host name, or None when there are no VMs."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._read = Batch(self._read_once)

    async def read(self) -> str | None:
        return await self._read(None)

    async def _read_once(self, callers: Sequence[None]) -> Sequence[str | None]:
        async with self._db.connection() as conn:
            return [await render_statuses(conn)] * len(callers)
