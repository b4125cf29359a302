"""How large a body may be. One above the limit is read to its end and refused, so that its sender sees the 413 and no broken connection."""

from typing import Any

from litestar import Request

from api.errors import TooLargeError
from api.origin import SAFE

LONGEST_BODY = 4 * 1024 * 1024
LARGEST_BODY = 16 * 1024 * 1024
"""What is longer than this is not read: the connection ends after the answer."""


async def refuse_large(request: Request[Any, Any, Any]) -> None:
    """Before a handler looks at its body; raises TooLargeError."""
    if request.method not in SAFE:
        length = len(await request.body())
        if length > LONGEST_BODY:
            raise TooLargeError(f"the body has {length} bytes; send at most {LONGEST_BODY} at a time")
