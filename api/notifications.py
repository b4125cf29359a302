"""`/api/v1/notify`: who is told of what, how the last messages fared, and test messages to everybody. Addresses are never shown whole."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request, get, post

from api.answers import Page
from api.errors import NotFoundError
from api.in_force import DesiredInForce
from api.paging import Limit, NumberCursor
from api.parts import AnyDb, TheDesired, TheSettings
from schemas.access import Scope
from schemas.conditions import Severity
from schemas.frozen import Frozen
from schemas.lab import Lab, Notify
from schemas.notification import Letter, Notification
from schemas.settings import Settings
from store.db import transaction
from store.notification import list_notifications, queue_letter

AnyRequest = Request[Any, Any, Any]


class Receiver(Frozen):
    """A receiver as it may be shown: by host, topic or mailbox, without what may be a secret."""

    way: str
    to: str
    on: list[str]
    severity: Severity


class Told(Frozen):
    """A message and how it fared; `outcome` null: it is still on its way."""

    id: int
    at: datetime
    to: str
    topic: str
    state: str
    message: str
    attempts: int
    outcome: str | None
    error: str | None


class Notified(Page[Told]):
    """The declared receivers, and the messages to them."""

    receivers: list[Receiver]


class TestSent(Receiver):
    """A test message by its number."""

    id: int


class TestsSent(Frozen):
    """One for each declared receiver, in their order."""

    items: list[TestSent]


class WebhookKey(Frozen):
    """What webhooks are signed with, and how."""

    key: str
    algorithm: str


@get("/notify")
async def get_notifications(db: AnyDb, desired: TheDesired, after: NumberCursor = None, limit: Limit = 100) -> Notified:
    """The declared receivers, and the messages to them, newest first."""
    lab = await _read_lab(desired)
    async with db.connection() as conn:
        found = await list_notifications(conn, before=after, limit=limit)
    shown = {receiver.digest: receiver.shown for receiver in lab.notify}
    return Notified(
        receivers=[Receiver(**_describe_receiver(receiver)) for receiver in lab.notify],
        items=[_describe(one, shown) for one in found],
        next=found[-1].id if len(found) == limit else None,
    )


def _describe_receiver(receiver: Notify) -> dict[str, Any]:
    return {"way": receiver.way, "to": receiver.shown, "on": list(receiver.on), "severity": receiver.severity}


def _describe(one: Notification, shown: dict[str, str]) -> Told:
    to = "a person" if one.email else shown.get(one.receiver, "a receiver that is not declared any more")
    told = one.model_dump(include={"id", "at", "topic", "attempts", "outcome", "error"})
    return Told(**told, to=to, state=one.body.state, message=one.body.message)


@post("/notify/test", status_code=200, scope=Scope.OPERATE)
async def post_test(request: AnyRequest, db: AnyDb, desired: TheDesired, settings: TheSettings) -> TestsSent:
    """A test message to each declared receiver, sent by the controller; how each fared, `GET /notify` tells by its number."""
    lab = await _read_lab(desired)
    if not lab.notify:
        raise NotFoundError("no receiver is declared: name one under `notify:` in lablink.yaml")
    letter = _write_test(lab, settings, request.state.actor)
    async with transaction(db) as conn:
        sent = [await queue_letter(conn, receiver.digest, "test", letter) for receiver in lab.notify]
    pairs = zip(sent, lab.notify, strict=True)
    return TestsSent(items=[TestSent(id=number, **_describe_receiver(to)) for number, to in pairs])


def _write_test(lab: Lab, settings: Settings, actor: str) -> Letter:
    return Letter(
        state="test",
        severity=Severity.INFO,
        subject="deployment",
        type="Test",
        reason="Asked",
        message=f"This is a test that {actor} asked for. Nothing has happened.",
        at=datetime.now(UTC),
        deployment=lab.deployment,
        environment=lab.environment,
        url=f"{settings.allocator_url}/admin",
    )


@post("/notify/key", status_code=200, scope=Scope.ADMIN)
async def post_key(settings: TheSettings) -> WebhookKey:
    """The key that webhooks are signed with. A POST, so that nobody reads it who may only look."""
    return WebhookKey(key=settings.notify_key.hex(), algorithm="HMAC-SHA256 over `<X-LabLink-Timestamp>.<body>`")


async def _read_lab(desired: DesiredInForce) -> Lab:
    in_force = await desired.read()
    if in_force is None:
        raise NotFoundError("no desired state was accepted yet; put lablink.yaml in force with `lablink apply`")
    return in_force.lab


ROUTES = [get_notifications, post_test, post_key]
