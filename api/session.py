"""The cookie of a person who has logged in: until when, under a keyed digest that also covers who the admin is. Nothing is stored.

So it ends by itself, and is void as soon as the admin's name, the password or the deployment's secret changes.
"""

import hashlib
import hmac

from litestar.datastructures import Cookie

from api.passwords import Login

NAME = "lablink_session"
LASTS_S = 12 * 3600


def make_session(secret: bytes, login: Login, now: float, secure: bool) -> Cookie:
    """`now` in epoch seconds. Lax: a link in a mail finds its reader logged in; `same_site_only` guards what changes things."""
    until = int(now) + LASTS_S
    value = f"{until}.{_digest(secret, login, until)}"
    return Cookie(key=NAME, value=value, max_age=LASTS_S, httponly=True, samesite="lax", secure=secure)


def end_session(secure: bool) -> Cookie:
    """The cookie that takes the place of the session's and is gone at once."""
    return Cookie(key=NAME, value="", max_age=0, httponly=True, samesite="lax", secure=secure)


def is_session(secret: bytes, login: Login, value: str | None, now: float) -> bool:
    """Whether this is a session of `login` that still lasts."""
    text, _, digest = (value or "").partition(".")
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        return False
    until = int(text)
    return hmac.compare_digest(_digest(secret, login, until).encode(), digest.encode()) and now < until


def _digest(secret: bytes, login: Login, until: int) -> str:
    claim = "\0".join(("session", *login, str(until)))
    return hmac.new(secret, claim.encode(), hashlib.sha256).hexdigest()
