"""Reads log lines of VMs: page by page in the order in which they came in, or as text in the order of their times. Called by `api`.

No cursor of the server's is kept open between pages: a slow reader would hold a connection and keep old days from being dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.logs import LogLine
from store.db import Connection, fetch, fetch_one

SCANNED = 20_000
"""A search looks at so many lines at a time, and says where to go on."""
TROUBLE = r"\m(error|errors|failed|failure|fatal|panic|critical|exception|traceback|denied|refused|cannot|unable)\M"


@dataclass(frozen=True, slots=True)
class LogSpan:
    """What there is of one VM: its status in the sense of `store.vm.read_status`, the last number, the span of times."""

    status: str
    number: int
    first_at: datetime | None
    last_at: datetime | None


SPAN = """
SELECT coalesce(v.status, 'initializing') AS status, coalesce(h.number, 0) AS number, h.first_at, h.last_at
  FROM vm v LEFT JOIN vm_log_head h USING (hostname) WHERE v.hostname = %s
"""


async def read_span(conn: Connection, hostname: str) -> LogSpan | None:
    """None when there is no such VM, nor ever was."""
    row = await fetch_one(conn, SPAN, (hostname,))
    return LogSpan(**row) if row else None


NUMBERS = "SELECT hostname, number FROM vm_log_head WHERE hostname = ANY(%s)"


async def read_numbers(conn: Connection, hostnames: Sequence[str]) -> dict[str, int]:
    """The last number of each of these VMs that has written anything."""
    return {row["hostname"]: row["number"] for row in await fetch(conn, NUMBERS, (hostnames,))}


@dataclass(frozen=True, slots=True)
class Search:
    """Which lines are wanted; `contains` whatever the case of its letters."""

    contains: str = ""
    errors: bool = False


# The bounds of time let the planner leave out the days in which this VM wrote nothing.
PAGE = f"""
WITH scanned AS (
         SELECT number, at, line FROM vm_log
          WHERE hostname = %(hostname)s AND number > %(after)s AND at >= %(first_at)s AND at <= %(last_at)s
          ORDER BY number LIMIT %(scanned)s),
     found AS (
         SELECT number, at, line FROM scanned
          WHERE (%(contains)s::text = '' OR position(lower(%(contains)s) IN lower(line)) > 0)
            AND (NOT %(errors)s::bool OR line ~* '{TROUBLE}')
          ORDER BY number LIMIT %(limit)s)
"""
FOUND = PAGE + "SELECT number, at, line FROM found ORDER BY number"
LAST = PAGE + "SELECT count(*) AS scanned, max(number) AS number FROM scanned"


async def read_lines(
    conn: Connection, hostname: str, span: LogSpan, *, after: int, limit: int, search: Search = Search()
) -> tuple[list[LogLine], int]:
    """Lines after a number as they came in, and the number to go on from: the same as `after` when nothing was there."""
    narrowed = search != Search()
    params = {
        "hostname": hostname,
        "after": after,
        "first_at": span.first_at,
        "last_at": span.last_at,
        "limit": limit,
        "scanned": SCANNED if narrowed else limit,
        "contains": search.contains,
        "errors": search.errors,
    }
    lines = [LogLine(**row) for row in await fetch(conn, FOUND, params)]
    if len(lines) == limit or not narrowed:
        return lines, lines[-1].number if lines else after
    last = await fetch_one(conn, LAST, params)
    return lines, (last and last["number"]) or after


@dataclass(frozen=True, slots=True)
class TextPage:
    """Lines joined by line ends, how many, and the last one's place in the order."""

    text: str
    at: datetime
    number: int
    lines: int


NEXT = """
SELECT at, number, line, octet_length(line) AS size FROM vm_log
 WHERE hostname = %(hostname)s AND at >= %(at)s AND at <= %(last_at)s AND (at, number) > (%(at)s, %(number)s)
 ORDER BY at, number LIMIT %(lines)s
"""
# The lines come from the index in their order, and are joined without a sort. No text: it is too long.
TEXT = f"""
SELECT CASE WHEN sum(size) <= %(bytes)s THEN string_agg(line, E'\\n') END AS text, max(at) AS at,
       (array_agg(number))[count(*)] AS number, count(*) AS lines
  FROM ({NEXT}) AS page HAVING count(*) > 0
"""
FEWER = f"""
SELECT string_agg(line, E'\\n') AS text, max(at) AS at, (array_agg(number))[count(*)] AS number, count(*) AS lines
  FROM (SELECT at, number, line, size, sum(size) OVER (ORDER BY at, number ROWS UNBOUNDED PRECEDING) AS so_far
          FROM ({NEXT}) AS page) AS sized
 WHERE so_far - size < %(bytes)s
"""


async def read_text(
    conn: Connection, hostname: str, span: LogSpan, before: TextPage | None, *, lines: int, most_bytes: int
) -> TextPage | None:
    """The next lines by (time, number): at most `lines`, and no more once `most_bytes` are reached. None: that was all.

    To find how many fit costs more than to read them: whoever asks for about as many as will fit is answered in half the time.
    """
    if span.first_at is None:
        return None
    params = {
        "hostname": hostname,
        "at": before.at if before else span.first_at,
        "number": before.number if before else 0,
        "last_at": span.last_at,
        "lines": lines,
        "bytes": most_bytes,
    }
    row = await fetch_one(conn, TEXT, params)
    if row and row["text"] is None:
        row = await fetch_one(conn, FEWER, params)
    return TextPage(**row) if row else None
