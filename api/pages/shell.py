"""What every page shares: rendering with the frame's facts, a word said once after a redirect, and problems as pages."""

import base64
import binascii
from typing import Any, NamedTuple

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect, Template

AnyRequest = Request[Any, Any, Any]
SAID = "lablink_said"
LONGEST_SAID = 1000
TITLES = {
    400: "That could not be read",
    401: "This is for admins",
    403: "That is not allowed",
    404: "There is nothing here",
    405: "There is nothing to look at here",
    409: "That was not done",
    413: "That is too long",
    429: "Too many tries",
    503: "Not right now",
}


class Wrong(NamedTuple):
    """What is wrong with a form: a sentence, and the field that it is about."""

    text: str
    field: str = ""
    find: bool = False  # the person may have a seat already


def show(request: AnyRequest, name: str, status: int = 200, **context: Any) -> Template:
    """A page. What `say` left for it is shown once."""
    said = _decode(request.cookies.get(SAID, ""))
    page = Template(
        name, context={"here": request.url.path, "said": said, "error": None, **context}, status_code=status
    )
    page.media_type = "text/html"
    if said and "hx-request" not in request.headers:  # a part that renews itself must not take the word from the page
        page.delete_cookie(SAID)
    page.headers.setdefault("Cache-Control", "no-store")
    return page


def say(path: str, sentence: str) -> Redirect:
    """After a change: another page, which shows the sentence. 303, so that reloading it does not repeat the change."""
    text = base64.urlsafe_b64encode(sentence[:LONGEST_SAID].encode()).decode()
    cookie = Cookie(key=SAID, value=text, max_age=30, httponly=True, samesite="strict")
    return Redirect(path, status_code=303, cookies=[cookie])


def _decode(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text.encode()).decode()[:LONGEST_SAID]
    except (binascii.Error, ValueError):
        return ""


def wants_page(request: AnyRequest) -> bool:
    """Whether a browser asks, outside the calls of programs."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/v1/")


def _find_back(request: AnyRequest, status: int) -> str:
    """The page whose form was refused, else the beginning of these pages."""
    origin, _, path = request.headers.get("referer", "").partition("://")[2].partition("/")
    if request.method == "POST" and origin == request.headers.get("host"):
        return "/" + path.lstrip("/")
    return "/admin" if request.url.path.startswith("/admin/") and status != 401 else "/"


def show_problem(request: AnyRequest, answer: Response[dict[str, Any]], text: str) -> Response[Any]:
    """An error as a page, with the status and the headers of its JSON."""
    status = answer.status_code or 500
    title = TITLES.get(status, "That did not work")
    context = {"title": title, "text": text, "back": _find_back(request, status)}
    page = Template("problem.html", context=context, status_code=status, headers=dict(answer.headers))
    page.media_type = "text/html"
    return page
