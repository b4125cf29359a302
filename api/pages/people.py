"""The pages of people who ask for a desktop: the form, and the seat in each of its states. Rendering only."""

from datetime import UTC, datetime, timedelta
from typing import Any

from litestar.response import Template

from api.claim import Asked
from api.delivery import ends_soon, judge_delivery, list_warnings
from api.entry import asks_code
from api.followers import View
from api.pages.shell import AnyRequest, Wrong, show
from schemas.assignment import Assignment
from schemas.lab import Lab
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
        "codes": lab is not None and asks_code(lab, datetime.now(UTC)),
        "own": own,
        "asked": asked,
        "error": error,
    }
    return show(request, "people/home.html", status, **context)


def show_seat(request: AnyRequest, view: View, *, extend: timedelta | None = None, status: int = 200) -> Template:
    """Where the person stands: in line, offered a seat, seated, or at the end. `extend`: by how much the end may be pushed."""
    one = view.followed
    context = {"seat": one.assignment, "position": one.position, "eta_s": view.eta_s, "offer_s": one.offer_s}
    longer = extend if extend and ends_soon(one) else None
    told = {"delivery": judge_delivery(one), "warnings": list_warnings(one), "extend": longer}
    return show(request, "people/seat.html", status, **context, **told)
