"""Turns the lines of `apply -json` into events and recorded instances while the apply goes on. Called by `controller.apply`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.errors import HOST, Failure, read_failures
from store.actuation import Created, record_created
from store.db import Connection
from store.event import TERRAFORM, write_events

WORDS = {"create": ("Creating", "Created"), "delete": ("Deleting", "Deleted"), "import": ("Importing", "Imported")}
FAILED = {"create": "CreateFailed", "delete": "DeleteFailed", "import": "ImportFailed"}


@dataclass(slots=True)
class Progress:
    """What was said and is not yet written; `take` is called for each line, `write` now and then in a transaction, then `forget`."""

    pool: str
    run_id: int
    _events: list[tuple[str, str, str]] = field(default_factory=list)  # subject, reason, message
    _created: list[Created] = field(default_factory=list)
    _started: dict[str, datetime] = field(default_factory=dict)
    _errored: dict[str, str] = field(default_factory=dict)  # address → verb; the cause comes later, as a diagnostic

    def take(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == "diagnostic":
            for failure in read_failures([message]):
                self._explain(failure)
        elif kind in ("apply_start", "apply_complete", "apply_errored"):
            self._take_hook(kind, message)

    def _take_hook(self, kind: str, message: Mapping[str, Any]) -> None:
        hook = message["hook"]
        address, verb, at = hook["resource"]["addr"], hook["action"], datetime.fromisoformat(message["@timestamp"])
        if kind == "apply_errored":
            self._errored[address] = verb
        elif kind == "apply_start":
            self._started[address] = at
            self._note(address, WORDS.get(verb, (verb, verb))[0], address)
        else:
            self._note(address, WORDS.get(verb, (verb, verb))[1], message["@message"])
            if verb == "create" and (host := HOST.fullmatch(address)):
                seconds = (at - self._started.get(address, at)).total_seconds()
                self._created.append(Created(host[1], hook["id_value"], seconds))

    def _explain(self, failure: Failure) -> None:
        verb = self._errored.pop(failure.address or "", "")
        if failure.address:
            self._note(failure.address, FAILED.get(verb, "TerraformFailed"), failure.message)

    def _note(self, address: str, reason: str, message: str) -> None:
        host = HOST.fullmatch(address)
        subject = f"vm/{host[1]}" if host else f"pool/{self.pool}"
        self._events.append((subject, reason, message.removeprefix(f"{address}: ") if host else message))

    @property
    def waiting(self) -> bool:
        return bool(self._events or self._created)

    async def write(self, conn: Connection) -> tuple[int, int]:
        """How much was written, for `forget` once that is committed: what came to nothing is written by the next call."""
        events, created = list(self._events), list(self._created)
        if events:
            await write_events(conn, TERRAFORM, events, {"run": self.run_id, "pool": self.pool})
        if created:
            await record_created(conn, created)
        return len(events), len(created)

    def forget(self, written: tuple[int, int]) -> None:
        del self._events[: written[0]]
        del self._created[: written[1]]
