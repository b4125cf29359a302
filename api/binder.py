"""Calls T2, the only way in which people get VMs: one in flight per pool and process, shared by all who ask."""

from collections.abc import Sequence

from api.batch import Batch
from store.assignment import BATCH, bind_waiting
from store.db import Db, transaction


class Binder:
    """To be called after every commit of a request, a ready or a release."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._pools: dict[str, Batch[str, None]] = {}

    async def bind(self, pool: str) -> None:
        """Returns once a T2 of this pool that began after this call has committed."""
        await self._pools.setdefault(pool, Batch(self._run))(pool)

    async def _run(self, askers: Sequence[str]) -> Sequence[None]:
        pool, bound = askers[0], BATCH  # all of them ask for the same pool
        while bound == BATCH:
            async with transaction(self._db) as conn:
                bound = len(await bind_waiting(conn, pool))
        return [None] * len(askers)
