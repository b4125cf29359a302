"""Where people ask for VMs: those who come at once share one transaction, T1 and T2 under the pools' locks.

Whoever frees a seat commits first and binds then, under the same lock: one of the two always sees the other.
"""

from collections.abc import Sequence

from api.batch import Batch
from api.waiters import Waiters
from schemas.assignment import Assignment
from store.assignment import (
    BATCH,
    RECONCILE,
    Claim,
    bind_locked,
    is_seated,
    read_open_pools,
    request_seats,
)
from store.db import Connection, Db, notify, transaction
from store.seat import lock_pool


class Desk:
    """`ask` returns once the person's assignment is committed, seated where a VM was free, and its VM told if it waits here."""

    def __init__(self, db: Db, waiters: Waiters) -> None:
        self._db = db
        self._waiters = waiters
        self.ask: Batch[Claim, Assignment | None] = Batch(self._ask_many, most=BATCH)

    async def _ask_many(self, claims: Sequence[Claim]) -> Sequence[Assignment | None]:
        """None for who has an open assignment that the claim does not prove, or one in another pool."""
        answers: dict[int, Assignment | None] = {}
        rest = list(enumerate(claims))
        while rest:  # of one email's claims each has a transaction of its own, in the order in which they came
            first = {claim.email: (n, claim) for n, claim in reversed(rest)}
            turn = sorted(first.values())
            made = await self._ask_in_one([claim for _, claim in turn])
            answers |= {n: made.get(claim.email) for n, claim in turn}
            rest = [(n, claim) for n, claim in rest if n not in answers]
        return [answers[n] for n in range(len(claims))]

    async def _ask_in_one(self, claims: Sequence[Claim]) -> dict[str, Assignment]:
        async with transaction(self._db) as conn:
            for pool in sorted(await _pools_of(conn, claims)):
                await lock_pool(conn, pool)
            made = await request_seats(conn, claims)
            seated = list(made.values())
            for pool in sorted({one.pool for one in seated if not is_seated(one)}):
                seated += await _bind(conn, pool, made)
        await self._waiters.tell(seated)
        return made


async def _pools_of(conn: Connection, claims: Sequence[Claim]) -> set[str]:
    """Also those in which a person who named none is in line already."""
    asked = {claim.pool for claim in claims}
    wandering = [claim.email for claim in claims if not claim.named]
    return asked | await read_open_pools(conn, wandering) if wandering else asked


async def _bind(conn: Connection, pool: str, made: dict[str, Assignment]) -> list[Assignment]:
    """Seats the line of a pool, and puts down in `made` what came of it; all who were seated."""
    seated = bound = await bind_locked(conn, pool)
    while len(bound) == BATCH:
        bound = await bind_locked(conn, pool)
        seated = seated + bound
    made |= {one.email: one for one in seated if one.email in made}
    if any(one.pool == pool and not is_seated(one) for one in made.values()):
        await notify(conn, RECONCILE, pool)
    return seated
