"""Lists of `/api/v1`: `{"items": […], "next": <cursor or null>}`, page by `limit` and `after`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from litestar.params import QueryParameter
from pydantic import BaseModel

Noun = TypeVar("Noun", bound=BaseModel)

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]
NumberCursor = Annotated[
    int | None, QueryParameter(name="after", ge=0, le=2**62, description="`next` of the page before.")
]
NameCursor = Annotated[str, QueryParameter(name="after", max_length=253, description="`next` of the page before.")]


def page(nouns: Sequence[Noun], limit: int, cursor: Callable[[Noun], Any]) -> dict[str, Any]:
    """One page. A page shorter than its limit is the last."""
    items = [noun.model_dump(mode="json") for noun in nouns]
    return {"items": items, "next": cursor(nouns[-1]) if len(nouns) == limit else None}
