"""Notifications from the condition that turned to the receiver: once, signed, again after failures, with recovery, and safely."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from controller.ec2 import Ec2
from controller.notify.deliver import deliver
from controller.notify.send import Parcel, send
from controller.say import say
from controller.world import World
from sandbox.moto_server import MotoServer
from schemas.conditions import Severity
from schemas.document import parse_lab
from schemas.lab import Notify
from schemas.notification import Letter
from schemas.settings import Settings
from schemas.status import Condition
from store import notification as outbox
from store.db import Db, fetch, open_db, transaction
from store.deployment import read_deployment
from store.desired import Change, append_version
from store.pool import set_conditions
from tests.controller_world import lead_world
from tests.postgres.receivers import Inbox, http_receiver, mail_server

pytestmark = pytest.mark.anyio

SECRET = "T0KEN-in-the-path"
LETTER = Letter(
    state="note", severity=Severity.INFO, subject="vm/x", type="Session", reason="Idle", message="ends soon",
    at=datetime(2026, 12, 1, tzinfo=UTC), deployment="lab", environment="test", url="http://127.0.0.1/admin",
)  # fmt: skip


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=6) as db:
        yield db


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with http_receiver() as inbox:
        yield inbox


async def declare(db: Db, notify: str, based_on: int | None = None) -> None:
    text = f"deployment: lab\npools:\n  client: {{size: 1}}\nnotify: [{notify}]\n"
    async with transaction(db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), based_on)
        await conn.execute("INSERT INTO pool (name) VALUES ('client') ON CONFLICT DO NOTHING")


async def lead(db: Db, dsn: str, ec2: Ec2 | None = None, **settings: Any) -> World:
    world = await lead_world(db, dsn, ec2=ec2)
    changed = {"notify_local": True, "smtp_security": "none", "smtp_from": "lablink@example.org", **settings}
    object.__setattr__(world, "settings", world.settings.model_copy(update=changed))
    return world


async def turn(db: Db, kind: str, status: bool, message: str = "3 failed runs in a row", pool: str = "client") -> None:
    condition = Condition(type=kind, status=status, reason="Test", message=message, since=datetime.now(UTC))
    async with transaction(db) as conn:
        await set_conditions(conn, pool, [condition], 1, False)


async def make_due(db: Db) -> None:
    async with db.connection() as conn:
        await conn.execute("UPDATE notification SET due_at = now() WHERE ended_at IS NULL")


async def read(db: Db, what: str = "topic, trouble, attempts, outcome, error") -> list[dict[str, Any]]:
    async with db.connection() as conn:
        return list(await fetch(conn, f"SELECT {what} FROM notification ORDER BY id"))


def states(inbox: Inbox) -> list[str]:
    return [json.loads(body)["state"] for body in inbox.bodies]


async def test_a_trouble_is_told_once_and_so_is_its_end(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/{SECRET}', on: [PoolStalled]}}")
    world = await lead(db, dsn)
    await turn(db, "Stalled", True)
    assert await deliver(world) is None
    await turn(db, "Stalled", True, "4 failed runs in a row")  # more of the same is no news
    await turn(db, "VmUnhealthy", True)  # nobody asked for it
    await deliver(world)
    await turn(db, "Stalled", False)
    await deliver(world)
    await deliver(world)
    assert states(inbox) == ["trouble", "recovered"]
    first = json.loads(inbox.bodies[0])
    assert (first["subject"], first["type"], first["severity"]) == ("pool/client", "Stalled", "critical")
    assert first["message"] == "3 failed runs in a row"
    assert first["url"] == "http://127.0.0.1:5000/admin/conditions/Stalled"


async def test_a_webhook_is_signed_with_the_time_and_known_by_its_number(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    world = await lead(db, dsn)
    await turn(db, "Stalled", True)
    await deliver(world)
    (headers,), (body,) = inbox.headers, inbox.bodies
    said = f"{headers['X-LabLink-Timestamp']}.".encode() + body
    expected = hmac.new(world.settings.notify_key, said, hashlib.sha256).hexdigest()
    assert headers["X-LabLink-Signature"] == f"v1={expected}"
    assert headers["X-LabLink-Id"] == str(json.loads(body)["id"])


async def test_a_receiver_that_fails_is_tried_again_later_and_its_address_is_told_nobody(
    db: Db, dsn: str, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    await declare(
        db, f"{{webhook: '{inbox.url}/{SECRET}', on: [Stalled]}}, {{slack: '{inbox.url}/{SECRET}', on: [Stalled]}}"
    )
    world = await lead(db, dsn)
    inbox.status = 500
    await turn(db, "Stalled", True)
    pause_s = await deliver(world)
    assert pause_s is not None
    assert 0 < pause_s <= 30
    await deliver(world)  # nothing is due
    assert len(inbox.bodies) == 2
    assert [(row["attempts"], row["error"]) for row in await read(db)] == [(1, "it answered 500")] * 2
    inbox.status = 204
    await make_due(db)
    await deliver(world)
    assert [row["outcome"] for row in await read(db)] == ["sent", "sent"]
    async with db.connection() as conn:
        kept = [*await fetch(conn, "SELECT * FROM notification"), *await fetch(conn, "SELECT * FROM event")]
    assert SECRET not in str(kept)
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


async def test_what_is_wrong_with_one_receiver_keeps_nothing_from_the_others(
    db: Db, dsn: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send_oddly(settings: Settings, ec2: Ec2, receiver: Notify, parcel: Parcel) -> None:
        if receiver.slack:
            raise KeyError("what nobody has thought of")
        await send(settings, ec2, receiver, parcel)

    monkeypatch.setattr("controller.notify.deliver.send", send_oddly)
    receivers = ("webhook: 'https://192.0.2.1:99999/x'", "slack: 'https://192.0.2.1/x'", f"webhook: '{inbox.url}/x'")
    await declare(db, ", ".join(f"{{{receiver}, on: [Stalled]}}" for receiver in receivers))
    world = await lead(db, dsn)
    await turn(db, "Stalled", True)
    await deliver(world)
    assert states(inbox) == ["trouble"]
    told = [(row["outcome"], row["error"]) for row in await read(db)]
    assert told == [(None, "there is no such port; the highest is 65535"), (None, "KeyError"), ("sent", None)]


async def test_what_is_over_before_it_was_sent_is_not_told(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    world = await lead(db, dsn)
    await turn(db, "Stalled", True)
    await turn(db, "Stalled", False)
    await deliver(world)
    assert inbox.bodies == []
    assert [row["outcome"] for row in await read(db)] == ["withdrawn"]


async def test_a_trouble_that_comes_and_goes_is_told_once_in_ten_minutes(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    world = await lead(db, dsn)
    for status in (True, False, True, False, True):
        await turn(db, "Stalled", status)
        await deliver(world)
    assert states(inbox) == ["trouble", "recovered"]
    pause_s = await deliver(world)
    assert pause_s is not None
    assert 500 < pause_s <= 600
    await make_due(db)
    await deliver(world)
    assert states(inbox) == ["trouble", "recovered", "trouble"]


async def test_severity_chooses_where_no_condition_is_named(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(
        db, f"{{webhook: '{inbox.url}/all', severity: info}}, {{webhook: '{inbox.url}/bad', severity: critical}}"
    )
    world = await lead(db, dsn)
    for kind in ("Paused", "VmUnhealthy", "Stalled"):
        await turn(db, kind, True)
    await turn(db, "Converged", False)
    await deliver(world)
    told = sorted((json.loads(body)["type"]) for body in inbox.bodies)
    assert told == ["Converged", "Paused", "Stalled", "Stalled", "VmUnhealthy"]


async def test_two_controllers_never_send_one_message_both(db: Db, dsn: str) -> None:
    await lead(db, dsn)
    async with transaction(db) as conn:
        for number in range(30):
            await outbox.queue_letter(conn, f"r{number}", "t", LETTER)
    claimed: list[int] = []

    async def claim() -> None:
        while True:
            async with transaction(db) as conn:
                found = await outbox.claim_due(conn)
                await anyio.lowlevel.checkpoint()
            if not found:
                return
            claimed.extend(one.id for one in found)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(claim)
    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == 30


async def test_a_redirect_is_not_followed_and_plain_http_not_allowed(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    strict = await lead(db, dsn, notify_local=False)
    await turn(db, "Stalled", True)
    await deliver(strict)
    assert (await read(db))[0]["error"] == "only https is allowed"
    assert inbox.bodies == []
    inbox.status, inbox.location = 302, "http://169.254.169.254/latest/meta-data/"
    await make_due(db)
    lax = strict.settings.model_copy(update={"notify_local": True})
    object.__setattr__(strict, "settings", lax)
    await deliver(strict)
    assert (await read(db))[0]["error"] == "it answered 302"


async def test_mail_reaches_a_mail_server_and_a_person(db: Db, dsn: str) -> None:
    async with mail_server() as box:
        await declare(db, "{email: ops@example.org, on: [Stalled]}")
        world = await lead(db, dsn, smtp_host="127.0.0.1", smtp_port=box.port)
        await turn(db, "Stalled", True, "line\r\nBcc: eve@example.org")
        async with transaction(db) as conn:
            await outbox.queue_mail(conn, "ada@example.org", "session", LETTER)
        await deliver(world)
        assert [row["outcome"] for row in await read(db)] == ["sent", "sent"]
    assert sorted(box.recipients) == ["ada@example.org", "ops@example.org"]
    subjects = sorted(line for mail in box.mails for line in mail.splitlines() if line.startswith("Subject:"))
    assert subjects == ["Subject: [lab dev] pool/client: Stalled trouble", "Subject: [lab test] vm/x: Session note"]


async def test_without_a_mail_server_it_is_said_what_to_set(db: Db, dsn: str) -> None:
    await declare(db, "{email: ops@example.org, on: [Stalled]}")
    world = await lead(db, dsn)
    await turn(db, "Stalled", True)
    await deliver(world)
    assert "set LABLINK_SMTP_HOST" in (await read(db))[0]["error"]


async def test_a_topic_of_sns_gets_it(db: Db, dsn: str) -> None:
    server = MotoServer()
    try:
        ec2 = Ec2(server.url, "key", "secret")
        client = ec2._client("sns", "us-west-2")
        arn = (await anyio.to_thread.run_sync(lambda: client.create_topic(Name="troubles")))["TopicArn"]
        await declare(db, f"{{sns: '{arn}', on: [Stalled]}}, {{sns: '{arn}-gone', on: [Stalled]}}")
        world = await lead(db, dsn, ec2)
        await turn(db, "Stalled", True)
        await deliver(world)
    finally:
        server.stop()
    good, gone = await read(db)
    assert good["outcome"] == "sent"
    assert (gone["outcome"], "publishing to SNS" in gone["error"]) == (None, True)


async def test_a_receiver_that_is_not_declared_any_more_gets_nothing(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    world = await lead(db, dsn)
    inbox.status = 500
    await turn(db, "Stalled", True)
    await deliver(world)
    await declare(db, "", 1)
    await make_due(db)
    await deliver(world)
    assert len(inbox.bodies) == 1
    assert (await read(db))[0]["error"] == "its receiver is not declared any more"


async def test_after_a_day_it_is_given_up_with_an_event(db: Db, dsn: str, inbox: Inbox) -> None:
    await declare(db, f"{{webhook: '{inbox.url}/x', on: [Stalled]}}")
    world = await lead(db, dsn)
    inbox.status = 503
    await turn(db, "Stalled", True)
    await deliver(world)
    async with db.connection() as conn:
        await conn.execute("UPDATE notification SET at = now() - interval '25 hours', due_at = now()")
    await deliver(world)
    assert (await read(db))[0]["outcome"] == "given up"
    async with db.connection() as conn:
        events = await fetch(conn, "SELECT message FROM event WHERE reason = 'NotificationFailed'")
    assert [row["message"] for row in events] == [
        "a notification about pool/client Stalled was given up after 2 attempts: it answered 503"
    ]


async def test_notices_are_written_with_the_condition_or_not_at_all(db: Db, dsn: str) -> None:
    world = await lead(db, dsn)
    await declare(db, "")
    async with db.connection() as conn:
        deployment = await read_deployment(conn)
    await say(world, deployment, "ObserveOnly", True, "OtherAccount", "another account")
    condition = Condition(type="Stalled", status=True, reason="x", message="x", since=datetime.now(UTC))
    async with db.connection() as conn, conn.transaction(force_rollback=True):
        await set_conditions(conn, "client", [condition], 1, False)
        assert len(await outbox.read_notices(conn)) == 2
    async with db.connection() as conn:
        notices = await outbox.read_notices(conn)
    assert [(one.subject, one.type, one.trouble) for one in notices] == [("deployment", "ObserveOnly", True)]
    await deliver(world)
    async with db.connection() as conn:
        assert await outbox.read_notices(conn) == []


async def test_an_idle_delivery_writes_nothing_and_does_not_even_lock_the_lease(db: Db, dsn: str) -> None:
    world = await lead(db, dsn)
    await declare(db, "{email: ops@example.org, on: [Stalled]}")
    await deliver(world)
    marks = "SELECT xmin::text, xmax::text FROM lease"  # holding the lease leaves its mark in xmax
    async with db.connection() as conn:
        before = await fetch(conn, marks)
        assert await deliver(world) is None
        assert await fetch(conn, marks) == before
