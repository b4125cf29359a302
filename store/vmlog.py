"""Log lines of VMs: append-only, each stored once by its event id, in the order of their time. Called by `api`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from store.db import Connection, fetch


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `event_id` tells a repetition from a second line of the same text."""

    event_id: str
    at: datetime
    text: str


INSERT = """
INSERT INTO vm_log (hostname, event_id, at, line)
SELECT %(hostname)s, event_id, at, line
  FROM unnest(%(event_id)s::text[], %(at)s::timestamptz[], %(line)s::text[]) AS new (event_id, at, line)
ON CONFLICT DO NOTHING
"""


async def append_lines(conn: Connection, hostname: str, lines: Sequence[Line]) -> None:
    """Store what is new of these lines, in one statement."""
    params = {
        "hostname": hostname,
        "event_id": [line.event_id for line in lines],
        "at": [line.at for line in lines],
        "line": [line.text for line in lines],
    }
    await conn.execute(INSERT, params)


READ = "SELECT line FROM vm_log WHERE hostname = %s ORDER BY at, id"


async def read_lines(conn: Connection, hostname: str) -> list[str]:
    """All lines of one VM in the order of their time."""
    return [row["line"] for row in await fetch(conn, READ, (hostname,))]
