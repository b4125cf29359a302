"""The cookie by which a browser reaches its seat again: the assignment's id under a keyed digest. Nothing is stored."""

import hashlib
import hmac
from uuid import UUID

NAME = "lablink_seat"
KEPT_S = 7 * 24 * 3600


def cookie_header(secret: bytes, assignment: UUID, secure: bool) -> dict[str, str]:
    """As the header that sets it (RFC 6265): HttpOnly, and sent by no other site's pages."""
    value = f"{assignment}.{_digest(secret, assignment)}"
    # As text: Litestar's own Cookie is copied field by field, and a class asks at once.
    rules = f"Max-Age={KEPT_S}; Path=/; HttpOnly; SameSite=strict"
    return {"Set-Cookie": f"{NAME}={value}; {rules}{'; Secure' if secure else ''}"}


def read_cookie(secret: bytes, value: str | None) -> UUID | None:
    """The assignment that a cookie of ours proves, or None."""
    name, _, digest = (value or "").partition(".")
    try:
        assignment = UUID(name)
    except ValueError:
        return None
    right = hmac.compare_digest(_digest(secret, assignment).encode(), digest.encode())
    return assignment if right else None


def _digest(secret: bytes, assignment: UUID) -> str:
    return hmac.new(secret, f"seat:{assignment}".encode(), hashlib.sha256).hexdigest()
