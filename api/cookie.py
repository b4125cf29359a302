"""The cookie by which a browser reaches its seat again: the assignment's id under a keyed digest. Nothing is stored."""

import hashlib
import hmac
from uuid import UUID

from litestar.datastructures import Cookie

NAME = "lablink_seat"
KEPT_S = 7 * 24 * 3600


def make_cookie(secret: bytes, assignment: UUID, secure: bool) -> Cookie:
    """HttpOnly, and sent by no other site's pages."""
    value = f"{assignment}.{_digest(secret, assignment)}"
    return Cookie(key=NAME, value=value, max_age=KEPT_S, httponly=True, samesite="strict", secure=secure)


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
