"""What a person asks for, from the form or from JSON to a checked claim. Raises BadInputError with a sentence for the person."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Request

from api.crd import PIN, draw_pin, find_code
from api.errors import BadInputError
from api.fields import read_fields
from schemas.lab import Lab
from store.assignment import Claim

EMAIL = re.compile(r"[^\s@<>\"'\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


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
    fields = await read_fields(request, "`email` and `crd_command`")
    return Asked(fields["email"], fields["crd_command"], fields["pin"], fields["pool"], fields["access_code"])


def check_claim(asked: Asked, lab: Lab, proven: UUID | None) -> Claim:
    """Of the command, the code alone is kept. A pool that is not named is still to be chosen."""
    email = asked.email.lower()
    check_email(email)
    code = find_code(asked.command)
    if code is None:
        sentence = "paste the whole command for Linux from Chrome Remote Desktop; it has --code= in it"
        raise BadInputError(sentence, extra={"field": "crd_command"})
    check_pin(asked.pin)
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


def check_email(email: str) -> None:
    """Raises BadInputError unless it is an address in lower case that can be shown and stored."""
    if not EMAIL.fullmatch(email) or not email.isprintable():
        raise BadInputError("enter your email address, such as ada@example.org", extra={"field": "email"})


def check_pin(pin: str) -> None:
    """Raises BadInputError unless it is a PIN, or left out."""
    if pin and not PIN.fullmatch(pin):
        raise BadInputError("a PIN is six digits or more; leave it empty to get one", extra={"field": "pin"})
