"""The small value that the steps of a decision hand on: what has been decided for one pool so far. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from schemas.decision import Action, CorrectBase, EndBase, Held
from schemas.vm import Bucket

from controller.decide.classify import Judged
from controller.decide.survey import PoolView

CAPACITY = frozenset({Bucket.PLANNED, Bucket.BOOTING, Bucket.READY, Bucket.OUTDATED, Bucket.ASSIGNED})
BROKEN = frozenset({Bucket.FAILED, Bucket.SILENT, Bucket.STOPPED, Bucket.LOST})
LEAVING = frozenset({"end", "lost", "gone"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition that holds though it should not, or the other way round; `conditions` makes the rest."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Work:
    """`target`: VMs that should be there, surge included. `acted`: subjects with an action in this tick, taken or held.

    `no_repair` and `no_create` say why broken VMs are left alone and why nothing is created; empty: they are not.
    """

    view: PoolView
    target: int = 0
    ceiling: int = 0
    no_repair: str = ""
    no_create: str = ""
    no_update: str = ""
    rebooting: int = 0  # broken VMs that get a last chance, and in whose place nothing is created
    next_at: datetime | None = None
    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()
    findings: tuple[Finding, ...] = ()
    acted: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    def act(self, region: str, actions: Sequence[Action]) -> "Work":
        """Takes the actions, or holds each of them with the reason why nothing may be done there now."""
        if not actions:
            return self
        names = frozenset(name for action in actions if (name := subject_of(action)))
        leaving = frozenset(subject_of(action) for action in actions if action.kind in LEAVING)
        work = replace(self, acted=self.acted | names, leaving=self.leaving | leaving)
        barred = {kind: self.view.closed(kind, region) for kind in {action.kind for action in actions}}
        taken = tuple(action for action in actions if not barred[action.kind])
        held = tuple(self._held(action, barred[action.kind]) for action in actions if barred[action.kind])
        return replace(work, actions=work.actions + taken, held=work.held + held)

    def act_on(self, judged: Iterable[tuple[Judged, Action]]) -> "Work":
        """The same for rows of any region."""
        by_region: dict[str, list[Action]] = {}
        for one, action in judged:
            by_region.setdefault(one.vm.region, []).append(action)
        work = self
        for region, actions in sorted(by_region.items()):
            work = work.act(region, actions)
        return work

    def hold(self, what: str, reason: str) -> "Work":
        return replace(self, held=(*self.held, Held(pool=self.view.name, what=what, reason=reason)))

    def find(self, kind: str, reason: str, message: str) -> "Work":
        return replace(self, findings=(*self.findings, Finding(kind, reason, message)))

    def wait_until(self, at: datetime | None) -> "Work":
        """The earliest moment at which a hold-back ends by itself."""
        moments = [moment for moment in (self.next_at, at) if moment is not None]
        return replace(self, next_at=min(moments, default=None))

    def of(self, *buckets: Bucket) -> list[Judged]:
        """Rows of these buckets that nothing has been decided about yet."""
        if self.view.counts.keys().isdisjoint(buckets):
            return []
        return [one for one in self.view.vms if one.bucket in buckets and one.vm.hostname not in self.acted]

    @property
    def capacity(self) -> int:
        """Rows that are, or will become, VMs for people."""
        return len(self.staying)

    @property
    def staying(self) -> list[Judged]:
        return [
            one
            for one in self.view.vms
            if one.bucket in CAPACITY and not one.reclaimed and one.vm.hostname not in self.leaving
        ]

    @property
    def adopted(self) -> int:
        """What is adopted in this tick: nobody is ended for one that has not proved itself, but none is created either."""
        return sum(action.kind == "adopt" for action in self.actions)

    @property
    def usable(self) -> int:
        return sum(one.usable and one.vm.hostname not in self.leaving for one in self.view.vms)

    @property
    def broken(self) -> list[Judged]:
        if self.view.counts.keys().isdisjoint(BROKEN):
            return []
        return [one for one in self.view.vms if one.bucket in BROKEN and one.vm.hostname not in self.leaving]

    def _held(self, action: Action, why: str) -> Held:
        return Held(pool=self.view.name, what=describe(action), reason=f"{why} (wanted because {action.reason})")


def subject_of(action: Action) -> str:
    """The host name that an action is about, else the instance or the region of a base."""
    if action.kind == "end_instance":
        return action.instance_id
    if action.kind == "report_course":
        return f"course/{action.course}"
    return "" if isinstance(action, EndBase | CorrectBase) else action.hostname


def describe(action: Action) -> str:
    """What an action does, in the words of `lablink preview` and of the events."""
    words = {"lost": "mark {hostname} lost", "gone": "mark {hostname} gone"} | {
        "create": "create {hostname} ({where}, shard {shard})",
        "record": "record {instance_id} as {hostname}",
        "adopt": "adopt {instance_id} as {hostname} (shard {shard})",
        "end_instance": "terminate {instance_id}",
        "end_base": "end the base of {pool} in {region}",
        "correct_base": "correct the base of {pool} in {region}",
        "set_session": "{tell} {hostname}",
        "end_assignment": "end the session on {hostname}",
        "report_course": "report on the course {course}",
    }
    where = (
        f"{action.spec.instance_type} in {action.spec.zone or action.spec.region}" if action.kind == "create" else ""
    )
    if action.kind == "end_assignment" and action.moves:
        return f"move the user of {action.hostname} to another VM"
    if action.kind == "lost" and action.moves:
        return f"mark {action.hostname} lost and its user first in line for another VM"
    tell = "warn the user of" if action.kind == "set_session" and action.warning else "note the session of"
    return words.get(action.kind, "{kind} {hostname}").format(where=where, tell=tell, **dict(action))
