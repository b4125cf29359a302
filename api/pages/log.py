"""`/admin/logs/{hostname}`: the log of one VM as it grows, or what is found in it."""

from typing import Annotated

from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Template

from api.log_reading import LogReader, find_span
from api.pages.desk import show_desk
from api.pages.shell import AnyRequest
from api.parts import AnyDb
from api.plain import plain
from store.vmlog_read import Search

PAGE = 500

Words = Annotated[str, QueryParameter(max_length=200)]
After = Annotated[int, QueryParameter(ge=0, le=2**62)]


@get("/admin/logs/{hostname:str}", media_type="text/html", include_in_schema=False)
async def get_log(
    request: AnyRequest,
    db: AnyDb,
    *,
    hostname: FromPath[str],
    words: Words = "",
    errors: FromQuery[str] = "",
    after: After = 0,
) -> Template:
    """Without a search, a script follows the log."""
    span = await find_span(db, hostname)
    found = None
    if words or errors:
        found = await LogReader(db, hostname, plain).read_page(span, after, PAGE, Search(words, bool(errors)))
    return show_desk(
        request, "admin/log.html", hostname=hostname, words=words, errors=errors, found=found, lines=span.number
    )


ROUTES = [get_log]
