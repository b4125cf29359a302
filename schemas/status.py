"""Conditions (facts that hold now) and events (facts that happened), as controller and API write and show them."""

from datetime import datetime
from typing import Any

from schemas.conditions import CONDITIONS
from schemas.frozen import Frozen

GOOD_WHEN_TRUE = frozenset(name for name, kind in CONDITIONS.items() if kind.good)
"""Types that are fine while they hold; every other type names a trouble."""


class Condition(Frozen):
    """One fact about a pool or the deployment: `type` is `status`, because of `reason`, in words `message`."""

    type: str
    status: bool
    reason: str
    message: str
    since: datetime

    @property
    def good(self) -> bool:
        """Whether this is how it should be."""
        return self.status == (self.type in GOOD_WHEN_TRUE)

    def adds_to(self, old: "Condition | None") -> bool:
        """Whether it says more than the recorded one, but for the time; a trouble that never was need not be said."""
        if old is None:
            return self.status or not self.good
        return (old.status, old.reason, old.message) != (self.status, self.reason, self.message)


class Event(Frozen):
    """Something that happened: who (`actor`) did what (`reason`) to whom (`subject`)."""

    id: int
    at: datetime
    actor: str
    subject: str  # "pool/client", "vm/lablink-client-dev-3", "desired", "run/12"
    reason: str
    message: str
    detail: dict[str, Any] = {}
