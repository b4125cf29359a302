"""Cursors of the admin's lists: newest first, `before` leads to the older ones."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar.params import QueryParameter

Before = Annotated[int | None, QueryParameter(ge=0, le=2**62)]


def older(items: Sequence[Any], limit: int, cursor: str) -> int | None:
    """The cursor of the next page; a page shorter than its limit is the last."""
    return getattr(items[-1], cursor) if len(items) == limit else None
