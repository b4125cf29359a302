"""What callers of the API may do: scopes, each of which holds the one before it, and the tokens that carry them."""

from datetime import datetime
from enum import StrEnum

from schemas.frozen import Frozen


class Scope(StrEnum):
    """`read` looks, `operate` works with pools and VMs, `admin` changes the document, tokens and credentials."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def covers(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


class ApiToken(Frozen):
    """A token as it is listed; its text is known to its holder alone."""

    name: str
    scope: Scope
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
