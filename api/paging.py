"""Lists of `/api/v1`: `{"items": […], "next": <cursor or null>}`, page by `limit` and `after`."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from litestar.params import QueryParameter

from api.answers import Page

Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]
NumberCursor = Annotated[
    int | None, QueryParameter(name="after", ge=0, le=2**62, description="`next` of the page before.")
]
NameCursor = Annotated[str, QueryParameter(name="after", max_length=253, description="`next` of the page before.")]


def page(items: Sequence[Item], limit: int, cursor: Callable[[Item], int | str]) -> Page[Item]:
    """One page. A page shorter than its limit is the last."""
    return Page(items=list(items), next=cursor(items[-1]) if len(items) == limit else None)
