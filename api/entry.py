"""Which pools a person may ask for: those that want no access code, those whose code came along, and the one of the own open seat.

What is compared here goes into no answer, event or log.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace

from litestar.exceptions import PermissionDeniedException

from api.door import Door
from schemas.assignment import AssignmentStatus
from schemas.lab import Lab
from schemas.lab_pool import Pool
from store.assignment import Claim, read_assignment
from store.db import Db
from store.seat import read_longest_free

FIELD = {"field": "access_code"}
MISSING = "an access code is needed here; enter the one that your instructor gave you"
WRONG = "this access code is not right; enter it as your instructor gave it to you"


def asks_code(lab: Lab) -> bool:
    """Whether any pool wants an access code."""
    return any(pool.access_code for pool in lab.pools.values())


async def admit(db: Db, door: Door, lab: Lab, claim: Claim, code: str, address: str) -> Claim:
    """The claim with its pool. Who names none is content with any that may be entered: where a VM has been free for longest.

    Whose cookie proves an open assignment came in before. Raises 403, or TooManyError where too many codes were wrong.
    """
    wanted = [claim.pool] if claim.named else list(lab.pools)
    if asks_code(lab):
        own = await _read_own_pool(db, claim)
        if own in wanted:
            return replace(claim, pool=own)
        wanted = _find_open({name: lab.pools[name] for name in wanted}, door, code, address)
        # An email alone leads to no seat in a pool that was not entered: there only a pool that is named is looked at.
        claim = replace(claim, open=claim.open and (claim.named or len(wanted) == len(lab.pools)))
    return await _choose(db, claim, wanted)


async def _read_own_pool(db: Db, claim: Claim) -> str | None:
    if claim.proven is None:
        return None
    async with db.connection() as conn:
        own = await read_assignment(conn, claim.proven)
    if own is None or own.email != claim.email or own.status is AssignmentStatus.ENDED:
        return None
    return own.pool


def _find_open(pools: Mapping[str, Pool], door: Door, code: str, address: str) -> list[str]:
    """Those that may be entered with this code; only a wrong one counts, so that a class behind one address is not shut out."""
    asked = {name: pool.access_code for name, pool in pools.items() if pool.access_code}
    free = [name for name in pools if name not in asked]
    if not asked or (free and not code):
        return free
    if not code:
        raise PermissionDeniedException(MISSING, extra=FIELD)
    door.check_code(address)
    right = {name for name, wanted in asked.items() if _is_same(code, wanted)}
    if not right:
        door.count_code(address)
        raise PermissionDeniedException(WRONG, extra=FIELD)
    return [name for name in pools if name in right or name in free]


def _is_same(code: str, wanted: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(code.encode(), wanted.encode())


async def _choose(db: Db, claim: Claim, pools: Sequence[str]) -> Claim:
    if len(pools) == 1:
        return replace(claim, pool=pools[0])
    async with db.connection() as conn:
        return replace(claim, pool=await read_longest_free(conn, pools) or pools[0])
