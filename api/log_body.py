"""What the log Lambda posts, made into lines that can be stored: times inside the days that are kept, texts without secrets."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict  # pydantic cannot read typing's before Python 3.12

from api.errors import BadInputError
from schemas.redact import redact_lines
from store.vmlog import Line

LONGEST_LINE = 65_536
AHEAD_S = 2 * 3600
"""CloudWatch takes lines of up to two hours from now
(https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html)."""
BACK_DAYS = 30
"""It takes lines of up to 14 days ago, and a dead-letter queue keeps them for up to 14 more."""
RETRIED_S = 15 * 60
"""Within this time an old Lambda's batch of the same words is its retry: AWS calls again after one and two minutes."""
EVER = 1  # epoch milliseconds


class LogEvent(TypedDict):
    """One line with CloudWatch's id and its time in epoch milliseconds. Not a model: making those takes twice as long."""

    id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
    timestamp: Annotated[int, Field(ge=0, lt=253_402_300_800_000)]  # the end of the year 9999
    message: str


class LogBatch(BaseModel):
    """Body of `POST /api/vm-logs`. `log_stream` is the host name; older Lambdas send `messages` only."""

    log_group: str = ""
    log_stream: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")
    messages: list[str] = []
    events: list[LogEvent] = []


def read_batch(body: bytes) -> LogBatch:
    """Raises BadInputError with what is wrong."""
    try:
        return LogBatch.model_validate_json(body)
    except ValidationError:
        pass
    try:
        return LogBatch.model_validate_json(_mend(body))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in wrong["loc"]) or "body"
        raise BadInputError(f"{where}: {wrong['msg']}") from None


def _mend(body: bytes) -> bytes:
    """One line that is not Unicode (bad UTF-8, half a surrogate pair) must not keep its batch away: `?` stands for what is wrong."""
    try:
        content = json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        return body
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")


def make_lines(batch: LogBatch, now: datetime, kept_days: int) -> list[Line]:
    """The events; without any the messages, whose ids come from what the batch says, and whose time is now."""
    if not batch.events:
        return list(_make_old(batch, int(now.timestamp() * 1000)))
    oldest = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=min(kept_days, BACK_DAYS))
    first, last = int(oldest.timestamp() * 1000), int((now.timestamp() + AHEAD_S) * 1000)
    texts = clean_lines([event["message"] for event in batch.events])
    return [
        Line(event["id"], at, text)
        if first <= (at := event["timestamp"]) <= last
        else Line(event["id"], min(max(at, first), last), text, EVER)
        for event, text in zip(batch.events, texts, strict=True)
    ]


def _make_old(batch: LogBatch, now: int) -> Iterator[Line]:
    said = json.dumps([batch.log_group, batch.messages])
    digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
    for n, text in enumerate(clean_lines(batch.messages)):
        yield Line(f"{digest}-{n}", now, text, now - RETRIED_S * 1000)


def clean_lines(messages: Sequence[str]) -> list[str]:
    """Without secrets and ends of lines, and without NUL, which no text of PostgreSQL holds. ANSI codes stay."""
    if any("\0" in message for message in messages):
        messages = [message.replace("\0", "") for message in messages]
    lines = [message.rstrip("\r\n") for message in messages]
    return redact_lines([line if len(line) <= LONGEST_LINE else _cut(line) for line in lines])


def _cut(line: str) -> str:
    return f"{line[:LONGEST_LINE]} … [{len(line) - LONGEST_LINE} more characters were left out]"
