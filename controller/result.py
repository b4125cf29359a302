"""A Terraform run as actuation speaks of it: the job, and how it ended."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.decide.tfplan import PlanRefusal
from controller.errors import Cause, Failure
from controller.s3_states import StateBucket
from schemas.tfstate import TfState
from store.db import Connection

SUCCEEDED, FAILED, INTERRUPTED, REFUSED = "succeeded", "failed", "interrupted", "refused"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `applied`: its plan was let through, so that it may have changed something."""

    outcome: str
    failures: tuple[Failure, ...] = ()
    applied: bool = False
    refusal: PlanRefusal | None = None

    @property
    def cause(self) -> Cause | None:
        """The first that names a cause beyond being ended."""
        causes = [failure.cause for failure in self.failures]
        telling = [cause for cause in causes if cause not in (Cause.INTERRUPTED, Cause.UNKNOWN, Cause.PROVIDER)]
        return next(iter(telling or causes), None)

    @property
    def message(self) -> str:
        if self.refusal:
            return f"the plan is not what was decided and was not applied: {self.refusal.message}"
        if not self.failures:
            return ""
        first = next(failure for failure in self.failures if failure.cause is self.cause)
        more = len(self.failures) - 1
        return first.message + (f" ({more} more failed.)" if more else "")

    def hosts(self, cause: Cause) -> list[str]:
        """The VMs that failed for this cause."""
        return sorted({f.hostname for f in self.failures if f.hostname and f.cause is cause})


Recorder = Callable[[Connection, TfState | None, Result], Awaitable[None]]
"""Writes what a run has brought about, with the state as it is then (None: it cannot be read), in a fenced transaction."""


@dataclass(frozen=True, slots=True)
class Place:
    """One state: whose it is, which module makes it, where it is kept."""

    pool: str
    region: str
    part: str  # "base", or the number of the shard
    backend: str
    bucket: StateBucket | None = None  # of the backend `s3`

    @property
    def state_key(self) -> str:
        return f"{self.pool}/{self.region}/{self.part}"

    @property
    def module(self) -> str:
        return "pool" if self.part == "base" else "vms"


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make: of which state, with which variables, and what its plan has to be.

    `change` names what is done under creates, imports and deletes. `allow` answers, just before the apply and in its
    transaction, with the host names whose rows moved on meanwhile.
    """

    place: Place
    variables: Mapping[str, Any] = field(repr=False)
    change: Mapping[str, Sequence[str]]
    check: Callable[[Mapping[str, Any]], PlanRefusal | None]
    allow: Callable[[Connection], Awaitable[list[str]]]
    record: Recorder
    destroy: bool = False
    refresh: bool = False  # first look at what is there: somebody changed it
    note: str = ""  # what the plan means for people and money
    untaint: tuple[str, ...] = ()  # addresses that the state holds as not wholly made and that were heard of

    @property
    def creates(self) -> int:
        return len(self.change.get("creates", ()))

    def redact(self, text: str) -> str:
        """Tokens are marked sensitive, so Terraform never prints them; this holds should it ever do."""
        for token in self.variables.get("tokens", {}).values():
            text = text.replace(token, "[token]")
        return text
