"""The shapes of `/api/v1`'s answers that are not nouns by themselves; what OpenAPI says of an answer is read off these."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from schemas.decision import Action, Decision, Held, PoolOutlook
from schemas.evidence import Evidence
from schemas.frozen import Frozen
from schemas.lab import Pool
from schemas.pool import Run
from schemas.status import Condition, Event
from schemas.version import Source
from schemas.vm import Bucket, VmFacts

Item = TypeVar("Item")


class Page(Frozen, Generic[Item]):
    """One page of a list; `next` is `after` of the following page, null on the last."""

    items: list[Item]
    next: int | str | None


class Message(Frozen):
    """What was done, in a sentence."""

    message: Annotated[str, Field(examples=["lablink-client-prod-7 is cordoned"])]


class VmShown(VmFacts):
    """A VM and how it is judged. The assignment's id stays out: whoever has it could act as that person."""

    instance_type: str
    assigned: bool
    bucket: Bucket | None


class VmDetailed(VmShown):
    """A VM, and what it left behind if it was given up."""

    evidence: Evidence | None


class VmExplained(VmDetailed):
    """A VM, what will be done to it, what waits, and what happened."""

    actions: list[Action]
    held: list[Held]
    run: Run | None
    events: list[Event]


class Warned(Frozen):
    """What the person of a VM was told: why and when the session is going to end, or what is the matter."""

    hostname: str
    warning: str
    ends_at: datetime | None


class PoolShown(PoolOutlook):
    """A pool as decided: figures, conditions, whose person was warned, what happens next and what is held back."""

    warned: tuple[Warned, ...]

    held: list[Held]
    actions: list[Action]


class PoolDeclared(PoolShown):
    """A pool with its declaration; null when it was taken out of the document."""

    declaration: Pool | None


class PoolExplained(PoolShown):
    """A pool and what happened to it."""

    events: list[Event]


class Retried(Message):
    """`replaced`: the VMs that were given up."""

    replaced: list[str]


class Status(Frozen):
    """LabLink's own release, the version in force, conditions of the deployment, every pool, the newest events."""

    release: str
    version: int
    conditions: list[Condition]
    pools: list[PoolShown]
    events: list[Event]


class VersionMade(Frozen):
    """A version of the desired state without its text."""

    version: int
    at: datetime
    author: str
    source: Source


class DesiredShown(Frozen):
    """The version in force with its text; version 0 with an empty text before the first one."""

    version: int
    yaml: str
    at: datetime | None = None
    author: str | None = None
    source: Source | None = None


class DecisionShown(Decision):
    """What would be done, as data and in lines of text; `impact` says by pool what it means for people and money."""

    rendered: str
    summary: str
    impact: dict[str, str]
    needs_approval: bool


class TickShown(Frozen):
    """A tick that changed something. `version` and `actions` are null for those of older releases."""

    id: int
    at: datetime
    version: int | None
    actions: int | None


class TickReplayed(Frozen):
    """A tick with what it decided, whether today's code decides the same of what it saw, and the difference as text."""

    id: int
    at: datetime
    version: int
    same: bool
    decision: Decision
    rendered: str
    difference: str
