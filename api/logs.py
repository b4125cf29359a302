"""`POST /api/vm-logs`: the log Lambda brings lines of a VM. Answered once every line is committed; a repeated id changes nothing."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from litestar import Request, post
from pydantic import BaseModel, Field, ValidationError

from api.errors import BadInputError, NotFoundError, TooLargeError
from api.parts import AnyDb, TheCallers
from store.db import transaction
from store.vm import read_callers
from store.vmlog import Line, append_lines

LONGEST_BODY = 4 * 1024 * 1024


class LogEvent(BaseModel):
    """One line with CloudWatch's id and its time in epoch milliseconds."""

    id: str = Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")
    timestamp: int = Field(ge=0, lt=253_402_300_800_000)  # the end of the year 9999
    message: str


class LogBatch(BaseModel):
    """Body of `POST /api/vm-logs`. `log_stream` is the host name; older Lambdas send `messages` only."""

    log_group: str = ""
    log_stream: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")
    messages: list[str] = []
    events: list[LogEvent] = []

    def lines(self, now: datetime) -> list[Line]:
        """The events; without any the messages, which have no ids: they are kept as often as they come."""
        if self.events:
            return [Line(event.id, _instant(event.timestamp), _text(event.message)) for event in self.events]
        batch = uuid4()
        return [Line(f"{batch}-{n}", now, _text(message)) for n, message in enumerate(self.messages)]


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _text(message: str) -> str:
    """PostgreSQL's text holds no NUL."""
    return message.replace("\0", "").rstrip("\r\n")


@post("/api/vm-logs", status_code=200)
async def post_logs(request: Request[Any, Any, Any], db: AnyDb, callers: TheCallers) -> dict[str, str]:
    """Store lines of a VM, each id once."""
    await callers.check_log_shipper(request)
    batch = read_batch(await request.body())
    lines = batch.lines(datetime.now(UTC))
    if not lines:
        raise BadInputError("there is no line in it; send `messages` or `events`")
    async with transaction(db) as conn:
        if not await read_callers(conn, [batch.log_stream]):
            raise NotFoundError(f"there is no VM {batch.log_stream!r}")
        await append_lines(conn, batch.log_stream, lines)
    return {"message": f"{len(lines)} lines of {batch.log_stream} are stored"}


def read_batch(body: bytes) -> LogBatch:
    """Raises TooLargeError above the limit, which is looked at before anything is decoded."""
    if len(body) > LONGEST_BODY:
        raise TooLargeError(f"the body has {len(body)} bytes; send at most {LONGEST_BODY} at a time")
    try:
        return LogBatch.model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in wrong["loc"]) or "body"
        raise BadInputError(f"{where}: {wrong['msg']}") from None


ROUTES = [post_logs]
