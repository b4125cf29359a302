"""What a person asks for, from the form or from JSON to a checked claim. Raises BadInputError with a sentence for the person."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.exceptions import SerializationException

from api.crd import PIN, draw_pin, find_code
from api.errors import BadInputError, TooLargeError
from schemas.lab import Lab
from store.assignment import Claim

EMAIL = re.compile(r"[^\s@<>\"'\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
LONGEST_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields as they were sent, trimmed; empty where nothing came."""

    email: str
    command: str
    pin: str
    pool: str
    access_code: str = ""


async def read_asked(request: Request[Any, Any, Any]) -> Asked:
    """Raises BadInputError or TooLargeError."""
    fields = await read_fields(request)
    return Asked(fields["email"], fields["crd_command"], fields["pin"], fields["pool"], fields["access_code"])


async def read_fields(request: Request[Any, Any, Any]) -> Mapping[str, str]:
    """Form or JSON, by what the call says of its body: texts, trimmed, and an empty one for what did not come."""
    if len(await request.body()) > LONGEST_BODY:
        raise TooLargeError("the form is too long; send an email address and the command, nothing else")
    is_json = "json" in request.headers.get("content-type", "")
    try:
        fields: Any = await request.json() if is_json else await request.form()
    except (
        SerializationException,
        RecursionError,
        ValueError,
        LookupError,
    ):  # the last two: bytes that are not their charset
        raise BadInputError("the body is not a well-formed form or JSON") from None
    if not isinstance(fields, Mapping):
        raise BadInputError("send a form or a JSON object with `email` and `crd_command`")
    return defaultdict(str, {str(name): _text(value) for name, value in fields.items()})


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def check_claim(asked: Asked, lab: Lab, proven: UUID | None) -> Claim:
    """Of the command, the code alone is kept. A pool that is not named is still to be chosen."""
    email = asked.email.lower()
    if not EMAIL.fullmatch(email) or not email.isprintable():
        raise BadInputError("enter your email address, such as ada@example.org", extra={"field": "email"})
    code = find_code(asked.command)
    if code is None:
        sentence = "paste the whole command for Linux from Chrome Remote Desktop; it has --code= in it"
        raise BadInputError(sentence, extra={"field": "crd_command"})
    if asked.pin and not PIN.fullmatch(asked.pin):
        raise BadInputError("a PIN is six digits or more; leave it empty to get one", extra={"field": "pin"})
    if not lab.pools:
        raise BadInputError("no pool of VMs is declared here yet; ask whoever runs LabLink")
    if asked.pool and asked.pool not in lab.pools:
        raise BadInputError(f"there is no such pool; there are {', '.join(lab.pools)}", extra={"field": "pool"})
    return Claim(
        pool=asked.pool or next(iter(lab.pools)),
        email=email,
        crd_code=code,
        drawn_pin=draw_pin(),
        pin=asked.pin or None,
        proven=proven,
        named=bool(asked.pool),
        open=lab.repeat == "open",
    )
