"""Writes log lines of VMs: append-only, each stored once by its event id, many VMs in one statement. Called by `api`.

A VM's lines are numbered as they come in, under the lock of its row in `vm_log_head`: a reader who has seen number n and asks for
what came after it misses nothing. Raises psycopg's CheckViolation while a line's day has no partition (`store.partition`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from secrets import token_hex
from typing import NamedTuple

from store.db import Connection, fetch

TABLE = "vm_log"


class Line(NamedTuple):
    """One line; `event_id` tells a repetition from a second line of the same text. `at` in epoch milliseconds.

    `once_since`: its time is ours and not the sender's, so that a repetition may have got another one: it is stored
    only where no line of this id is there from this time (epoch milliseconds) on.
    """

    event_id: str
    at: int
    text: str
    once_since: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """How far a VM's log has come: the last number given, the span of its times, and what this day has brought."""

    number: int
    first_at: datetime | None
    last_at: datetime | None
    day: date | None
    day_lines: int
    day_bytes: int


LOCK = """
SELECT hostname, number, first_at, last_at, day, day_lines, day_bytes FROM vm_log_head
 WHERE hostname = ANY(%s) ORDER BY hostname FOR NO KEY UPDATE
"""
FIRST = """
INSERT INTO vm_log_head (hostname) SELECT hostname FROM vm WHERE hostname = ANY(%s) ORDER BY hostname
ON CONFLICT DO NOTHING
"""


async def lock_heads(conn: Connection, hostnames: Collection[str]) -> dict[str, Head]:
    """The logs of those of these names that are VMs, also gone ones; nobody else writes to them until the commit."""
    names = list(hostnames)
    rows = await fetch(conn, LOCK, (names,))
    if len(rows) < len(names):
        await conn.execute(FIRST, (names,))
        rows = await fetch(conn, LOCK, (names,))
    return {row.pop("hostname"): Head(**row) for row in rows}


KNOWN = """
SELECT DISTINCT n.hostname, n.event_id
  FROM unnest(%(hostname)s::text[], %(event_id)s::text[], %(since)s::bigint[]) AS n (hostname, event_id, since)
  JOIN vm_log o ON o.hostname = n.hostname AND o.event_id = n.event_id AND o.at >= to_timestamp(n.since / 1000.0)
"""


async def drop_known(conn: Connection, lines: Mapping[str, Sequence[Line]]) -> dict[str, list[Line]]:
    """The same lines without those that are `once_since` and there already, or twice among them. After `lock_heads`."""
    floating = {(name, line.event_id): line.once_since for name, of in lines.items() for line in of if line.once_since}
    if not floating:
        return {name: list(of) for name, of in lines.items()}
    params = {
        "hostname": [name for name, _ in floating],
        "event_id": [event_id for _, event_id in floating],
        "since": list(floating.values()),
    }
    known = {(row["hostname"], row["event_id"]) for row in await fetch(conn, KNOWN, params)}
    return {name: list(_fresh(name, of, known)) for name, of in lines.items()}


def _fresh(hostname: str, lines: Iterable[Line], known: set[tuple[str, str]]) -> Iterable[Line]:
    for line in lines:
        if line.once_since and (hostname, line.event_id) in known:
            continue
        if line.once_since:
            known.add((hostname, line.event_id))
        yield line


# Each column is one text, cut apart there: psycopg renders a list of texts item by item in Python, which takes longer than storing
# them, and JSON has to be escaped here and read there. What is drawn to stand between the items stands in none of them.
INSERT = """
WITH new AS (
         SELECT * FROM unnest(string_to_array(%(number)s, %(apart)s), string_to_array(%(at)s, %(apart)s),
                              string_to_array(%(hostname)s, %(apart)s), string_to_array(%(event_id)s, %(apart)s),
                              string_to_array(%(line)s, %(apart)s)) AS n (number, at, hostname, event_id, line)),
     stored AS (
         INSERT INTO vm_log (number, at, hostname, event_id, line)
         SELECT number::bigint, to_timestamp(at::float8 / 1000), hostname, event_id, coalesce(line, '') FROM new -- cut apart, '' is nothing
         ON CONFLICT DO NOTHING
         RETURNING hostname, at, octet_length(line) AS bytes),
     day AS (SELECT (now() AT TIME ZONE 'UTC')::date AS today),
     of_vm AS (
         SELECT hostname, count(*) AS lines, sum(bytes) AS bytes, min(at) AS first_at, max(at) AS last_at
           FROM stored GROUP BY hostname)
UPDATE vm_log_head h
   SET number = h.number + given.lines, first_at = least(h.first_at, v.first_at), last_at = greatest(h.last_at, v.last_at),
       day = day.today,
       day_lines = CASE WHEN h.day = day.today THEN h.day_lines ELSE 0 END + coalesce(v.lines, 0),
       day_bytes = CASE WHEN h.day = day.today THEN h.day_bytes ELSE 0 END + coalesce(v.bytes, 0)
  FROM unnest(%(vm)s::text[], %(lines)s::bigint[]) AS given (hostname, lines) LEFT JOIN of_vm v USING (hostname), day
 WHERE h.hostname = given.hostname
RETURNING h.hostname, coalesce(v.lines, 0) AS stored
"""


async def append_lines(
    conn: Connection, heads: Mapping[str, Head], lines: Mapping[str, Sequence[Line]]
) -> dict[str, int]:
    """Store what is new of these lines, in one statement, and say how many of each VM that were. After `lock_heads`."""
    every = [line for of in lines.values() for line in of]
    if not every:
        return {}
    apart = f"\x1e{token_hex(12)}"
    params = {
        "apart": apart,
        "number": apart.join([str(n) for name, of in lines.items() for n in _count(heads[name].number, len(of))]),
        "at": apart.join([str(line.at) for line in every]),
        "hostname": apart.join([name for name, of in lines.items() for _ in of]),
        "event_id": apart.join([line.event_id for line in every]),
        "line": apart.join([line.text for line in every]),
        "vm": list(lines),
        "lines": [len(of) for of in lines.values()],
    }
    return {row["hostname"]: row["stored"] for row in await fetch(conn, INSERT, params)}


def _count(last: int, count: int) -> range:
    return range(last + 1, last + 1 + count)


FORGET = """
DELETE FROM vm_log_head h
 WHERE h.last_at < %s AND NOT EXISTS (SELECT FROM vm v WHERE v.hostname = h.hostname AND v.phase <> 'gone')
"""


async def forget_heads(conn: Connection, today: date, kept: int) -> None:
    """Of VMs that are gone and whose last line was dropped with its day, nothing stays."""
    await conn.execute(FORGET, (today - timedelta(days=kept),))
