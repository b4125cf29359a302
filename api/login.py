"""The login page of people at a browser: `GET` and `POST /login`, `POST /logout`. Programs bring their login with each call."""

import re
import time
from typing import Any

from litestar import Response, get, post
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.response import Redirect, Template

from api.address import address_of
from api.errors import TooManyError
from api.fields import read_fields
from api.pages.shell import AnyRequest, show
from api.parts import TheAccess, TheSettings
from api.session import end_session, make_session

HOME = "/admin"
OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # printable ASCII without backslashes, which browsers take for slashes
WRONG = "the name or the password is wrong"


@get("/login", media_type="text/html", include_in_schema=False)
async def get_login(request: AnyRequest, access: TheAccess) -> Response[Any] | Template:
    """The form; whoever is logged in goes on at once."""
    after = choose_next(request.query_params.get("next", ""))
    if await access.identify(request):
        return Redirect(after, status_code=303)
    return show_login(request, after)


def choose_next(asked: str) -> str:
    """A path of this server, whatever was asked for."""
    own = OWN_PATH.fullmatch(asked) and len(asked) <= 2000 and asked.partition("?")[0] not in ("/login", "/logout")
    return asked if own else HOME


def show_login(request: AnyRequest, after: str, *, user: str = "", refused: HTTPException | None = None) -> Template:
    """The form, empty or with what is wrong and until when."""
    ended = "ended" in request.query_params
    status = refused.status_code if refused else 200
    page = show(request, "login.html", status, next=after, user=user, error=refused, ended=ended)
    page.headers |= (refused and refused.headers) or {}
    return page


@post("/login", status_code=200, media_type="text/html", include_in_schema=False)
async def post_login(request: AnyRequest, access: TheAccess, settings: TheSettings) -> Response[Any] | Template:
    """The right name and password set the session's cookie and lead on; wrong ones show the form again."""
    fields = await read_fields(request, "`user` and `password`")
    user, password = fields["user"], fields["password"]
    after = choose_next(fields["next"])
    try:
        right = await access.passwords.check(user, password, address_of(request, settings.trusted_proxies))
        login = await access.passwords.read_login() if right else None
    except TooManyError as error:
        return show_login(request, after, user=user, refused=error)
    if login is None:
        return show_login(
            request, after, user=user, refused=PermissionDeniedException(WRONG)
        )  # a 401 would make the browser ask over the form
    secret = settings.deployment_secret.get_secret_value().encode()
    cookie = make_session(secret, login, time.time(), settings.secure)
    return Redirect(after, status_code=303, cookies=[cookie])


@post("/logout", status_code=200, include_in_schema=False)
async def post_logout(settings: TheSettings) -> Redirect:
    """The browser forgets its session."""
    return Redirect("/login", status_code=303, cookies=[end_session(settings.secure)])


ROUTES = [get_login, post_login, post_logout]
