"""The outbox of notifications: notices that triggers write beside conditions, and messages on their way to receivers.

Written inside fenced transactions of the leading controller, but for tests and mails to people, which anybody may queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from schemas.notification import Letter, Notice, Notification
from store.db import Connection, fetch, fetch_one, notify

CHANNEL = "notice"
FLAP = "10 minutes"
"""A trouble that comes and goes is told at most once in so long."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30, 3600

NOTICES = "SELECT * FROM notice ORDER BY id LIMIT 200"


async def read_notices(conn: Connection) -> list[Notice]:
    """Conditions that turned and were not passed on yet, in their order."""
    return [Notice(**row) for row in await fetch(conn, NOTICES)]


FORGET = "DELETE FROM notice WHERE id = ANY(%s)"


async def forget_notices(conn: Connection, ids: Sequence[int]) -> None:
    await conn.execute(FORGET, (list(ids),))


@dataclass(frozen=True, slots=True)
class Told:
    """The newest message to a receiver about a topic, and when a trouble was told last."""

    id: int
    trouble: bool
    attempts: int
    ended: bool
    trouble_at: datetime | None


TOLD = """
SELECT id, trouble, attempts, ended_at IS NOT NULL AS ended,
       (SELECT max(at) FROM notification t WHERE (t.receiver, t.topic) = (n.receiver, n.topic) AND t.trouble
           AND t.outcome IS DISTINCT FROM 'withdrawn') AS trouble_at
  FROM notification n WHERE receiver = %s AND topic = %s AND outcome IS DISTINCT FROM 'withdrawn' ORDER BY id DESC LIMIT 1
"""


async def read_told(conn: Connection, receiver: str, topic: str) -> Told | None:
    row = await fetch_one(conn, TOLD, (receiver, topic))
    return Told(**row) if row else None


QUEUE = f"""
INSERT INTO notification (receiver, email, topic, trouble, body, due_at)
VALUES (%(receiver)s, %(email)s, %(topic)s, %(trouble)s, %(body)s,
        greatest(now(), %(trouble_at)s::timestamptz + interval '{FLAP}'))
RETURNING id
"""


async def queue_letter(
    conn: Connection, receiver: str, topic: str, letter: Letter, *, last_trouble_at: datetime | None = None
) -> int:
    """A message to a declared receiver; after a trouble that was told lately, only when that is over."""
    params = {"receiver": receiver, "email": None, "topic": topic, "trouble": letter.state == "trouble"}
    return await _queue(conn, {**params, "body": Jsonb(letter.model_dump(mode="json")), "trouble_at": last_trouble_at})


async def queue_mail(conn: Connection, email: str, topic: str, letter: Letter) -> int:
    """A mail to a person, sent where the environment names a mail server; the number by which its fate can be read."""
    params = {"receiver": "person", "email": email, "topic": topic, "trouble": False, "trouble_at": None}
    return await _queue(conn, {**params, "body": Jsonb(letter.model_dump(mode="json"))})


async def _queue(conn: Connection, params: dict[str, Any]) -> int:
    row = await fetch_one(conn, QUEUE, params)
    assert row is not None  # an INSERT … RETURNING answers
    await notify(conn, CHANNEL)
    return int(row["id"])


CLAIM = f"""
UPDATE notification
   SET attempts = attempts + 1, due_at = now() + make_interval(secs => least({LONGEST_PAUSE_S}, {FIRST_PAUSE_S} * 2 ^ least(attempts, 10)))
 WHERE id IN (SELECT id FROM notification WHERE ended_at IS NULL AND due_at <= now() ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED)
RETURNING *
"""


async def claim_due(conn: Connection) -> list[Notification]:
    """What is to be sent now. Claiming puts each off, so that nobody else sends it before this attempt is surely over."""
    claimed = [Notification(**row) for row in await fetch(conn, CLAIM)]
    return sorted(claimed, key=lambda one: one.id)


END = "UPDATE notification SET ended_at = now(), outcome = %(outcome)s, error = %(error)s WHERE id = %(id)s AND ended_at IS NULL"


async def end_notification(conn: Connection, number: int, outcome: str, error: str | None = None) -> None:
    """`sent`, `withdrawn` or `given up`; it is tried no more."""
    await conn.execute(END, {"id": number, "outcome": outcome, "error": error})


FAIL = "UPDATE notification SET error = %(error)s WHERE id = %(id)s"


async def fail_notification(conn: Connection, number: int, error: str) -> None:
    """This attempt did not reach its receiver; the next is due already."""
    await conn.execute(FAIL, {"id": number, "error": error})


NEXT = "SELECT extract(epoch FROM min(due_at) - now())::float8 AS due_s FROM notification WHERE ended_at IS NULL"


async def read_next_due_s(conn: Connection) -> float | None:
    """Seconds until the next attempt; None: nothing waits."""
    row = await fetch_one(conn, NEXT)
    return max(0.0, row["due_s"]) if row and row["due_s"] is not None else None


EXPIRE = "DELETE FROM notification WHERE ended_at < now() - interval '90 days'"


async def expire_notifications(conn: Connection) -> None:
    await conn.execute(EXPIRE)


LIST = "SELECT * FROM notification WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s"


async def list_notifications(conn: Connection, *, before: int | None = None, limit: int = 100) -> list[Notification]:
    """Newest first; `before` is the cursor."""
    return [Notification(**row) for row in await fetch(conn, LIST, {"before": before, "limit": limit})]
