"""The pages of people who ask for a desktop: the form, and the seat in each of its states. Rendering only."""

from typing import Any

from litestar.response import Template

from api.claim import Asked
from api.pages.shell import AnyRequest, Wrong, show
from schemas.assignment import Assignment
from schemas.lab import Lab
from store.assignment import Place, read_place
from store.db import Db
from store.seat import count_free_by_pool


async def show_form(
    request: AnyRequest,
    db: Db,
    lab: Lab | None,
    *,
    own: Assignment | None = None,
    asked: Asked | None = None,
    error: Wrong | None = None,
    status: int = 200,
) -> Template:
    """The form, empty or as it was sent, with what is wrong with it."""
    async with db.connection() as conn:
        free = await count_free_by_pool(conn)
    context: dict[str, Any] = {
        "free": sum(free.values()),
        "pools": [{"name": name, "free": free.get(name, 0)} for name in lab.pools] if lab else [],
        "codes": lab is not None and asks_code(lab),
        "own": own,
        "asked": asked,
        "error": error,
    }
    return show(request, "people/home.html", status, **context)


def asks_code(lab: Lab) -> bool:
    """Whether a pool or a course wants an access code."""
    wanted = [pool.access_code for pool in lab.pools.values()] + [course.access_code for course in lab.courses.values()]
    return any(wanted)


async def show_seat(
    request: AnyRequest, db: Db, seat: Assignment, *, error: Wrong | None = None, status: int = 200
) -> Template:
    """Where the person stands: in line, offered a seat, seated, or at the end."""
    async with db.connection() as conn:
        place = await read_place(conn, seat.id)
    return show(request, "people/seat.html", status, seat=seat, place=place or Place(1, None), error=error)
