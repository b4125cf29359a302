"""What goes wrong, turned into answers, once: `{"error": "<what happened and what to do>"}` with the contract's status.

HTTPException (Litestar's: routing, guards, malformed bodies)
├── BadInputError 400, NotFoundError 404, ConflictError 409, TooLargeError 413, TooManyError 429
├── LoginWantedError 401, or 303 to the login page for a person at a browser
└── NotNowError 503, the answer may differ later
SerializationException, UnicodeDecodeError, RecursionError 400 (bodies that are no JSON, no UTF-8, or too deep)
InvalidDocument 400, NoSuchVersion 404, DesiredConflict 409, SecretError 409 (of the store and the documents)
UNREACHABLE 503 (PostgreSQL is away), DataError 400 (a value that no text of PostgreSQL can hold), everything else 500
"""

import math
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from psycopg import DataError
from structlog.contextvars import bind_contextvars, get_contextvars

from api.pages.shell import show_problem, wants_page
from api.shown import show_version
from schemas.problem import InvalidDocument
from schemas.values import nearest
from store.db import UNREACHABLE
from store.desired import DesiredConflict, NoSuchVersion
from store.secret import SecretError

log = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]
Answer = Response[dict[str, Any]]
LATER = {"Retry-After": "5"}
MALFORMED = "the body is not well-formed JSON in UTF-8"
NO_SUCH = "there is nothing at this address; /schema says what there is"
OTHER_METHOD = "this address knows other methods; see the header Allow"
BARE = {"Not Found": NO_SUCH, "Method Not Allowed": OTHER_METHOD}
"""What Litestar says in two words, and what is to be done about it."""
UNEXPECTED = "something went wrong here; the server's log says what"
FOR_PEOPLE = {
    NO_SUCH: "there is no page at this address; look at the address again, or go on from where the button leads",
    OTHER_METHOD: "a form is sent to this address, there is no page to look at; go back and send the form again",
    UNEXPECTED: "something went wrong in LabLink; try again, and if that does not help, tell whoever runs it: its log says what",
}
"""The same where a person reads it on a page."""


class BadInputError(HTTPException):
    status_code = 400


class NotFoundError(HTTPException):
    status_code = 404


def no_pool(name: str, pools: Iterable[str]) -> NotFoundError:
    """The refusal of a pool's name, with the one of `pools` that was probably meant."""
    meant = nearest(name, list(pools))
    return NotFoundError(f"there is no pool {name!r}" + (f"; did you mean {meant!r}?" if meant else ""))


class ConflictError(HTTPException):
    status_code = 409


class TooLargeError(HTTPException):
    status_code = 413


class TooManyError(HTTPException):
    status_code = 429

    def __init__(self, sentence: str, wait_s: float) -> None:
        seconds = max(1, math.ceil(wait_s))
        super().__init__(detail=f"{sentence}; try again in {seconds} s", headers={"Retry-After": str(seconds)})


class LoginWantedError(HTTPException):
    """401 with the `challenge`, or for a person at a browser 303 to the login page. `more`: headers beside it."""

    def __init__(
        self, sentence: str, *, page: str | None = None, challenge: str = "", more: Mapping[str, str] = {}
    ) -> None:
        headers = {"Location": page} if page else {"WWW-Authenticate": challenge}
        super().__init__(detail=sentence, status_code=303 if page else 401, headers={**headers, **more})


class NotNowError(HTTPException):
    status_code = 503

    def __init__(self, sentence: str) -> None:
        super().__init__(detail=sentence, headers=LATER)


def _answer(status: int, sentence: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    return Response({"error": sentence, **more}, status_code=status, headers=headers, media_type="application/json")


def _name_wrong(wrong: Mapping[str, Any]) -> str:
    if wrong.get("message") == repr("data"):  # the handler's parameter, as Litestar words a body that is not there
        return "the body is empty; send JSON"
    return f"{wrong.get('key') or 'body'}: {wrong.get('message')}"


def answer_http(_: AnyRequest, error: HTTPException) -> Answer:
    sentence = (
        MALFORMED if isinstance(error.__cause__, SerializationException) else BARE.get(error.detail, error.detail)
    )
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        sentence = "; ".join(_name_wrong(wrong) for wrong in error.extra)
    return _answer(error.status_code, sentence, error.headers)


def answer_unreachable(_: AnyRequest, error: Exception) -> Answer:
    log.warning("database.away", error=str(error).strip())
    return _answer(503, "the database does not answer; nothing was changed, try again in a moment", LATER)


def answer_invalid_document(_: AnyRequest, error: InvalidDocument) -> Answer:
    problems = [str(problem) for problem in error.problems]
    return _answer(400, "the document is not valid, nothing was changed: " + "; ".join(problems), problems=problems)


def answer_no_version(_: AnyRequest, error: NoSuchVersion) -> Answer:
    return _answer(404, str(error))


def answer_desired_conflict(request: AnyRequest, error: DesiredConflict) -> Answer:
    newest = show_version(request, error.newest) if error.newest else None
    return _answer(409, str(error), newest=newest.model_dump(mode="json") if newest else None)


def answer_sealed(_: AnyRequest, error: SecretError) -> Answer:
    return _answer(409, str(error))


def answer_malformed(_: AnyRequest, _error: SerializationException | UnicodeDecodeError) -> Answer:
    return _answer(400, MALFORMED)


def answer_unstorable(request: AnyRequest, error: DataError) -> Answer:
    log.warning("request.unstorable", path=request.url.path, error=str(error).strip())
    return _answer(
        400, "a value in it cannot be stored or looked for, such as a text with a NUL character; leave that out"
    )


def answer_too_deep(_: AnyRequest, _error: RecursionError) -> Answer:
    return _answer(400, "the body is nested too deeply; send flat JSON")


def answer_unexpected(request: AnyRequest, error: Exception) -> Answer:
    """A mistake of ours: the log has it, the caller gets nothing of its inside."""
    if "request" not in get_contextvars():
        name_request(request)
    log.error("request.failed", path=request.url.path, exc_info=error)
    return _answer(500, UNEXPECTED, request=get_contextvars()["request"])


def name_request(_: AnyRequest) -> None:
    """A number by which the log's lines about one request are found; who meets a mistake of ours is told it."""
    bind_contextvars(request=token_hex(4))


def _or_page(answer: Callable[[AnyRequest, Any], Answer]) -> Callable[[AnyRequest, Any], Response[Any]]:
    """The same for a browser: a page with the sentence."""

    def answer_either(request: AnyRequest, error: Any) -> Response[Any]:
        found = answer(request, error)
        if not wants_page(request):
            return found
        said = str(found.content["error"])
        number = found.content.get("request")
        words = FOR_PEOPLE.get(said, said) + (f" (number {number})" if number else "")
        return show_problem(request, found, words)

    return answer_either


ANSWERS: dict[type[Exception], Any] = {
    HTTPException: answer_http,
    InvalidDocument: answer_invalid_document,
    NoSuchVersion: answer_no_version,
    DesiredConflict: answer_desired_conflict,
    SecretError: answer_sealed,
    SerializationException: answer_malformed,
    UnicodeDecodeError: answer_malformed,
    RecursionError: answer_too_deep,
    DataError: answer_unstorable,
    **dict.fromkeys(UNREACHABLE, answer_unreachable),
    Exception: answer_unexpected,
}
EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {kind: _or_page(answer) for kind, answer in ANSWERS.items()}
