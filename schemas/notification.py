"""What is told to people outside: a condition that turned, and a message about it on its way to one receiver."""

from datetime import datetime

from schemas.conditions import Severity
from schemas.frozen import Frozen
from schemas.status import GOOD_WHEN_TRUE


class Notice(Frozen):
    """A condition that turned."""

    id: int
    at: datetime
    subject: str  # pool/client, deployment
    type: str
    status: bool
    reason: str
    message: str

    @property
    def trouble(self) -> bool:
        return self.status != (self.type in GOOD_WHEN_TRUE)

    @property
    def topic(self) -> str:
        return f"{self.subject} {self.type}"


class Letter(Frozen):
    """What is said, to whomever: `headline` fits a subject line."""

    state: str  # trouble | recovered | test | note
    severity: Severity
    subject: str
    type: str
    reason: str
    message: str
    at: datetime
    deployment: str
    environment: str
    url: str  # where an admin looks next
    todo: str = ""  # what helps, while it is a trouble

    @property
    def headline(self) -> str:
        return f"[{self.deployment} {self.environment}] {self.subject}: {self.type} {self.state}"

    @property
    def text(self) -> str:
        return "\n\n".join(part for part in (self.message, self.todo, self.url) if part) + "\n"


class Notification(Frozen):
    """One message to one receiver, and how its delivery went. `receiver` is a digest, `email` a person's address."""

    id: int
    at: datetime
    receiver: str
    email: str | None
    topic: str
    trouble: bool
    body: Letter
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None
