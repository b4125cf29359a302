"""`POST /api/vm-logs`: the log Lambda brings lines of a VM. Answered once every line is committed; a repeated id changes nothing."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request, post

from api.answers import Message
from api.errors import BadInputError, NotFoundError
from api.intake import Intake
from api.log_body import make_lines, read_batch
from api.log_writer import Post
from api.parts import TheIntake
from api.retention import read_kept_days

AnyRequest = Request[Any, Any, Any]


@post("/api/vm-logs", status_code=200)
async def post_logs(request: AnyRequest, intake: TheIntake) -> Message:
    """Store lines of a VM, each id once. Secrets in them are left out, and what is more than a VM may write a day."""
    return await take_lines(request, await request.body(), intake)


async def take_lines(request: AnyRequest, body: bytes, intake: Intake) -> Message:
    """What `post_logs` does, whoever has read the body."""
    await intake.callers.check_log_shipper(request)
    batch = read_batch(body)
    lines = make_lines(batch, datetime.now(UTC), await read_kept_days(intake.desired))
    if not lines:
        raise BadInputError("there is no line in it; send `messages` or `events`")
    if not await intake.logs.write(Post(batch.log_stream, lines)):
        raise NotFoundError(f"there is no VM {batch.log_stream!r}")
    return Message(message=f"{len(lines)} lines of {batch.log_stream} are stored")


ROUTES = [post_logs]
