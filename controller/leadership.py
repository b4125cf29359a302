"""Terms of leadership: stand by until the lease is free, lead until it is lost or the program is told to stop.

Called by `controller.__main__`; everything that acts runs inside `lead`, so that losing the lease ends it all at once.
"""

import os
import socket
from collections.abc import Awaitable, Callable
from uuid import uuid4

import anyio
import structlog

from store.db import UNREACHABLE, Db, answering
from store.lease import Lease, LeaseLost, read_left, release_lease, renew_lease, take_lease

log = structlog.get_logger()

JUST_AFTER_S = 0.05  # the end of a lease: a look at the very end would come too early as often as not

Lead = Callable[[Lease], Awaitable[None]]


async def stand_by(db: Db, ttl_s: float, lead: Lead, stopping: anyio.Event) -> None:
    """Take the lease whenever it is free and lead under it, term after term, until `stopping` is set."""
    holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
    while not stopping.is_set():
        lease, pause_s = await _look(db, holder, ttl_s)
        if lease is None:
            with anyio.move_on_after(pause_s):
                await stopping.wait()
            continue
        log.info("leading", token=lease.token)
        try:
            await _term(db, lease, ttl_s, lead)
        except* LeaseLost as lost:
            log.warning("no longer leading", reason=str(_find_first(lost)))


def _find_first(group: BaseExceptionGroup[LeaseLost]) -> BaseException:
    """The exception itself, out of the groups that task groups have put around it."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _term(db: Db, lease: Lease, ttl_s: float, lead: Lead) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_renew, db, lease, ttl_s)
        await lead(lease)
        group.cancel_scope.cancel()
    try:
        async with answering(db, ttl_s / 3):
            await release_lease(db, lease)
    except UNREACHABLE as error:
        log.warning("the lease could not be given back and runs out by itself", error=str(error))


async def _look(db: Db, holder: str, ttl_s: float) -> tuple[Lease | None, float]:
    """The lease if it is free, or how long to wait: a third of a lifetime, as it may be given back early, or until just after it ends."""
    try:
        async with answering(db, ttl_s / 3):
            # Without a lock: one that a dead connection keeps would cost the leader its lease.
            left_s = await read_left(db, holder)
            lease = await take_lease(db, holder, ttl_s) if left_s <= 0 else None
            return lease, min(ttl_s / 3, max(0.0, left_s) + JUST_AFTER_S)
    except UNREACHABLE as error:
        log.warning("the database cannot be reached; trying again", error=str(error))
        return None, ttl_s / 10


async def _renew(db: Db, lease: Lease, ttl_s: float) -> None:
    """Renew three times in a lifetime, and soon again when that came to nothing; a database that stays away for a lifetime costs the lease."""
    good_until = anyio.current_time() + ttl_s
    pause_s = ttl_s / 3
    while True:
        await anyio.sleep(pause_s)
        asked_at = anyio.current_time()
        try:
            async with answering(db, max(0.1, min(ttl_s / 3, good_until - asked_at))):
                await renew_lease(db, lease, ttl_s)
            good_until, pause_s = asked_at + ttl_s, ttl_s / 3
        except UNREACHABLE as error:
            left_s = good_until - anyio.current_time()
            if left_s <= 0:
                raise LeaseLost("the lease could not be renewed in time: the database cannot be reached") from error
            pause_s = min(ttl_s / 10, left_s)
