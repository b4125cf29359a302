"""The named texts of a form or of a JSON object, for calls that take either."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.datastructures import FormMultiDict
from litestar.enums import RequestEncodingType
from litestar.exceptions import SerializationException

from api.errors import BadInputError, TooLargeError

LONGEST_BODY = 64 * 1024
OTHER_CHARSET = re.compile(rb"charset(?!\s*=\s*\"?utf-?8)", re.IGNORECASE)
NOT_READ = (SerializationException, RecursionError, ValueError, LookupError)  # the last two: bytes not of their charset


async def read_fields(request: Request[Any, Any, Any], wanted: str) -> Mapping[str, str]:
    """The texts among the values, trimmed but for a password, and an empty text for what did not come."""
    fields = await read_values(request, wanted)
    texts = {str(name): value for name, value in fields.items() if isinstance(value, str)}
    return defaultdict(str, {name: value if name == "password" else value.strip() for name, value in texts.items()})


async def read_values(request: Request[Any, Any, Any], wanted: str) -> Mapping[str, Any]:
    """By what the call says of its body; an empty one has none. `wanted` is what to send instead of a mistake."""
    body = await request.body()
    if len(body) > LONGEST_BODY:
        raise TooLargeError(f"the body is too long; send {wanted}, nothing else")
    is_json = "json" in request.headers.get("content-type", "")
    try:
        fields: Any = (await request.json() if body else {}) if is_json else await parse_form(request)
    except NOT_READ:
        raise BadInputError("the body is not a well-formed form or JSON") from None
    if not isinstance(fields, Mapping):
        raise BadInputError(f"send a form or a JSON object with {wanted}")
    return fields


async def parse_form(request: Request[Any, Any, Any]) -> FormMultiDict:
    """As Litestar does, but parts that name their charset are read in UTF-8 alone.

    Among Python's codecs are some whose time grows with the square of the length (`punycode`, `idna`), in which nobody else is
    answered, and some that make halves of characters (`unicode_escape`). No browser names a charset there.
    """
    if request.content_type[0] == RequestEncodingType.MULTI_PART and OTHER_CHARSET.search(await request.body()):
        raise BadInputError("send the form in UTF-8, without a charset of its own for a part")
    return await request.form()
