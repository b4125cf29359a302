"""Which pools a person may ask for: those that want no access code, those whose code came along, and the one of the own open seat.

A course's code is one of its pool's while people come for the course.

What is compared here goes into no answer, event or log.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from litestar.exceptions import PermissionDeniedException

from api.door import Door
from schemas.assignment import AssignmentStatus
from schemas.lab import COMES_EARLY, Lab
from store.assignment import Claim, read_assignment
from store.db import Db
from store.seat import read_longest_free

FIELD = {"field": "access_code"}
MISSING = "an access code is needed here; enter the one that your instructor gave you"
WRONG = "this access code is not right; enter it as your instructor gave it to you"


def asks_code(lab: Lab, now: datetime) -> bool:
    """Whether any pool wants an access code, or will: who comes early may have one, and is then told when it holds."""
    coming = any(course.access_code and now < course.to_at for course in lab.courses.values())
    return coming or any(pool.access_code for pool in lab.pools.values())


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an unknown person brings along, from where and when."""

    code: str
    address: str
    at: datetime


async def admit(db: Db, door: Door, lab: Lab, claim: Claim, arrival: Arrival) -> Claim:
    """The claim with its pool. Who names none is content with any that may be entered: where a VM has been free for longest.

    Whose cookie proves an open assignment came in before. Raises 403, or TooManyError where too many codes were wrong.
    """
    wanted = [claim.pool] if claim.named else list(lab.pools)
    if asks_code(lab, arrival.at):
        own = await _read_own_pool(db, claim)
        if own in wanted:
            return replace(claim, pool=own)
        wanted = _find_open(lab, wanted, door, arrival)
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


def _find_open(lab: Lab, pools: Sequence[str], door: Door, arrival: Arrival) -> list[str]:
    """Those that may be entered with this code; only a wrong one counts, so that a class behind one address is not shut out."""
    asked = {name: codes for name in pools if (codes := _codes_of(lab, name, arrival.at))}
    free = [name for name in pools if name not in asked]
    if not asked or (free and not arrival.code):
        return free
    if not arrival.code:
        raise PermissionDeniedException(MISSING, extra=FIELD)
    door.check_code(arrival.address)
    right = {name for name, codes in asked.items() if any(_is_same(arrival.code, wanted) for wanted in codes)}
    if not right:
        _say_when(lab, pools, arrival)
        door.count_code(arrival.address)
        raise PermissionDeniedException(WRONG, extra=FIELD)
    return [name for name in pools if name in right or name in free]


def _codes_of(lab: Lab, name: str, now: datetime) -> list[str]:
    """Each of them opens the pool at this moment; none: it is open to all."""
    courses = [one.access_code for one in lab.courses.values() if one.pool == name and one.admits_at(now)]
    return [code for code in (lab.pools[name].access_code, *courses) if code]


def _say_when(lab: Lab, pools: Sequence[str], arrival: Arrival) -> None:
    """Raises 403 with a sentence of its own where the code is a course's at another time: that was no guess."""
    for name, course in lab.courses.items():
        if course.pool in pools and course.access_code and _is_same(arrival.code, course.access_code):
            opens, closes = course.from_at - COMES_EARLY, course.to_at
            early = f"opens at {_clock(opens)}; come back then" if arrival.at < opens else f"ended at {_clock(closes)}"
            raise PermissionDeniedException(f"this is the access code of the course {name}, which {early}", extra=FIELD)


def _clock(at: datetime) -> str:
    """With the offset that the course was declared with, which its people live by."""
    return at.isoformat(" ", "minutes")


def _is_same(code: str, wanted: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(code.encode(), wanted.encode())


async def _choose(db: Db, claim: Claim, pools: Sequence[str]) -> Claim:
    if len(pools) == 1:
        return replace(claim, pool=pools[0])
    async with db.connection() as conn:
        return replace(claim, pool=await read_longest_free(conn, pools) or pools[0])
