"""Writes log lines of VMs: posts that come while a batch is being written share the next one, whatever VMs they are of."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.errors import CheckViolation

from api.batch import Batch
from api.log_feed import LogFeed
from api.meters import LOG_LINES
from store.db import Connection, Db, transaction
from store.partition import make_days
from store.vmlog import TABLE, Head, Line, append_lines, drop_known, lock_heads

MOST_LINES = 200_000
MOST_CHARACTERS = 50_000_000
"""A VM may store so much a day (UTC): its lines are its user's word, and the disk is everybody's."""
AT_ONCE = 2  # statements: one is read into while the other is written to the disk
LONGEST = 8_000_000  # characters in one statement


@dataclass(frozen=True, slots=True)
class Post:
    hostname: str
    lines: Sequence[Line]

    @property
    def size(self) -> int:
        return sum(len(line.text) for line in self.lines)


class LogWriter:
    """`write` returns once the lines are committed: whether there is such a VM."""

    def __init__(self, db: Db, feed: LogFeed) -> None:
        self._db = db
        self._feed = feed
        self._write = Batch(self._write_many, at_once=AT_ONCE)

    async def write(self, post: Post) -> bool:
        return await self._write(post)

    async def _write_many(self, posts: Sequence[Post]) -> Sequence[bool]:
        known: set[str] = set()
        for group in _split(posts):
            known |= await self._write_group(group)
        return [post.hostname in known for post in posts]

    async def _write_group(self, posts: Sequence[Post]) -> set[str]:
        lines: dict[str, list[Line]] = defaultdict(list)
        for post in posts:
            lines[post.hostname] += post.lines
        try:
            stored = await self._store(lines)
        except CheckViolation:  # of the day of a line
            days = {datetime.fromtimestamp(line.at / 1000, UTC).date() for of in lines.values() for line in of}
            async with self._db.connection() as conn:
                await make_days(conn, TABLE, days)
            stored = await self._store(lines)
        LOG_LINES.inc(sum(map(len, lines.values())))
        self._feed.ring(stored)
        return stored

    async def _store(self, lines: dict[str, list[Line]]) -> set[str]:
        async with transaction(self._db) as conn:
            heads = await lock_heads(conn, lines)
            fresh = await drop_known(conn, {name: of for name, of in lines.items() if name in heads})
            await self._append(conn, heads, fresh)
        return set(heads)

    async def _append(self, conn: Connection, heads: dict[str, Head], lines: dict[str, list[Line]]) -> None:
        today = datetime.now(UTC)
        within = {name: limit_lines(of, heads[name], today) for name, of in lines.items()}
        await append_lines(conn, heads, within)


def _split(posts: Sequence[Post]) -> Iterator[list[Post]]:
    """The posts in their order, in groups of a size that one statement bears."""
    group: list[Post] = []
    size = 0
    for post in posts:
        if group and size + post.size > LONGEST:
            yield group
            group, size = [], 0
        group.append(post)
        size += post.size
    if group:
        yield group


def limit_lines(lines: Sequence[Line], head: Head, now: datetime) -> list[Line]:
    """As many of these lines as the VM may store today; then one line that says so, the same for the whole day."""
    fresh_day = head.day != now.date()
    number = MOST_LINES - (0 if fresh_day else head.day_lines)
    size = MOST_CHARACTERS - (0 if fresh_day else head.day_bytes)
    if len(lines) <= number and sum(len(line.text) for line in lines) <= size:
        return list(lines)
    kept: list[Line] = []
    for line in lines:
        number, size = number - 1, size - len(line.text)
        if number < 0 or size < 0:
            break
        kept.append(line)
    return [*kept, _full(lines[len(kept)], now)]


def _full(first: Line, now: datetime) -> Line:
    text = f"lablink: this VM has written all that is kept of it a day ({MOST_LINES:,} lines, {MOST_CHARACTERS:,} characters); "
    return first._replace(
        event_id=f"full-{now:%Y%m%d}", text=text + "further lines are left out until midnight UTC", once_since=1
    )
