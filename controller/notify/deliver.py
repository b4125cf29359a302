"""Passes notices on to receivers and sends what is due: a handler of the controller's runtime, beside the ticks and never in one.

Two steps, each in its own fenced transaction: notices become messages, and messages are claimed before they are sent. So no two
controllers send one at a time, and a crash between sending and noting costs one repetition under the same number.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio
import structlog

from controller.notify.send import LIMIT_S, NotSent, Parcel, send, send_mail
from controller.world import World
from schemas.conditions import page_of, severity_of, todo_of
from schemas.lab import Lab, Notify
from schemas.notification import Letter, Notice, Notification
from store import notification as outbox
from store.db import Connection
from store.desired import read_in_force
from store.event import write_event
from store.lease import fenced

log = structlog.get_logger()

ACTOR = "controller"
SLOW_S = 60.0
"""Between two looks that nobody asked for."""
GIVEN_UP_AFTER = timedelta(days=1)


async def deliver(world: World) -> float | None:
    """Everything that is due now; seconds until something is due again."""
    lab = await _pass_on(world)
    if lab is None:
        return None
    while due := await _claim(world):
        async with anyio.create_task_group() as group:
            for one in due:
                group.start_soon(_send_one, world, lab, one)
    async with world.db.connection() as conn:
        return await outbox.read_next_due_s(conn)


async def _pass_on(world: World) -> Lab | None:
    """Each notice becomes a message to each receiver that wants it; the document in force says who they are."""
    async with world.db.connection() as conn:
        in_force, notices = await read_in_force(conn), await outbox.read_notices(conn)
    if in_force is None:
        return None
    if notices:
        async with fenced(world.db, world.lease) as conn:
            for notice in await outbox.read_notices(conn):
                for receiver in in_force.lab.notify:
                    if receiver.wants(notice.type):
                        await _tell(conn, receiver, notice, write_letter(world, in_force.lab, notice))
            await outbox.forget_notices(conn, [notice.id for notice in notices])
            await outbox.expire_notifications(conn)
    return in_force.lab


def write_letter(world: World, lab: Lab, notice: Notice) -> Letter:
    return Letter(
        state="trouble" if notice.trouble else "recovered",
        severity=severity_of(notice.type),
        subject=notice.subject,
        type=notice.type,
        reason=notice.reason,
        message=notice.message,
        at=notice.at,
        deployment=lab.deployment,
        environment=lab.environment,
        url=f"{world.settings.allocator_url}{page_of(notice.type)}",
        todo=todo_of(notice.type, notice.subject) if notice.trouble else "",
    )


async def _tell(conn: Connection, receiver: Notify, notice: Notice, letter: Letter) -> None:
    """A trouble once until it is over; what was over before anybody heard of it is not told at all."""
    told = await outbox.read_told(conn, receiver.digest, notice.topic)
    known = told is not None and told.trouble
    if notice.trouble and not known:
        last_at = told.trouble_at if told else None
        await outbox.queue_letter(conn, receiver.digest, notice.topic, letter, last_trouble_at=last_at)
    if notice.trouble or told is None or not known:
        return
    if not told.ended:
        await outbox.end_notification(conn, told.id, "withdrawn", "it was over before it was sent")
    if told.attempts:
        await outbox.queue_letter(conn, receiver.digest, notice.topic, letter)


async def _claim(world: World) -> Sequence[Notification]:
    async with world.db.connection() as conn:
        due_s = await outbox.read_next_due_s(conn)
    if due_s is None or due_s > 0:
        return ()
    async with fenced(world.db, world.lease) as conn:
        return await outbox.claim_due(conn)


async def _send_one(world: World, lab: Lab, one: Notification) -> None:
    """Whatever goes wrong with one receiver is its own trouble, also what nobody has thought of: the others get theirs."""
    receiver = next((each for each in lab.notify if each.digest == one.receiver), None)
    if receiver is None and not one.email:
        await _end(world, one, "withdrawn", "its receiver is not declared any more")
        return
    try:
        if one.email:
            with anyio.fail_after(LIMIT_S):
                await send_mail(world.settings, one.email, one.body)
        elif receiver:
            await send(world.settings, world.ec2, receiver, Parcel(one.id, one.body))
    except (NotSent, TimeoutError, OSError) as error:
        await _fail(world, one, str(error) or type(error).__name__)
    except Exception as error:
        log.exception("a notification could not be sent", number=one.id, topic=one.topic)
        await _fail(world, one, type(error).__name__)
    else:
        await _end(world, one, "sent")


async def _end(world: World, one: Notification, outcome: str, error: str | None = None) -> None:
    async with fenced(world.db, world.lease) as conn:
        await outbox.end_notification(conn, one.id, outcome, error)


async def _fail(world: World, one: Notification, error: str) -> None:
    """Tried again ever more rarely; after a day it is given up, and that is an event."""
    log.warning("a notification was not sent", number=one.id, topic=one.topic, attempts=one.attempts, error=error)
    async with fenced(world.db, world.lease) as conn:
        if one.topic != "test" and datetime.now(UTC) - one.at < GIVEN_UP_AFTER:
            await outbox.fail_notification(conn, one.id, error)
            return
        await outbox.end_notification(conn, one.id, "given up", error)
        message = f"a notification about {one.topic} was given up after {one.attempts} attempts: {error}"
        await write_event(conn, ACTOR, "deployment", "NotificationFailed", message)
