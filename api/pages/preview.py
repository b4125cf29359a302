"""What a change would do, in the words that a person needs before saying yes. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from api.outlook import View
from controller.decide.work import describe
from schemas.decision import Decision


class PoolChange(NamedTuple):
    """One pool before and after; `ends` are host names with the reason, `disturbed` the host names that somebody has."""

    name: str
    before: int | None
    after: int | None
    creates: int
    ends: list[tuple[str, str]]
    others: list[tuple[str, str]]
    waits: list[tuple[str, str]]
    untouched: int
    disturbed: list[str]

    @property
    def idle(self) -> bool:
        """Whether nothing at all happens to this pool."""
        return not (self.creates or self.ends or self.others or self.waits) and self.before == self.after


def compare(now: View, then: Decision) -> list[PoolChange]:
    """Pool by pool, what the next tick would do if the document were in force."""
    names = dict.fromkeys([*then.pools, *now.decision.pools])
    return [_compare(now, then, name) for name in names]


def _compare(now: View, then: Decision, name: str) -> PoolChange:
    assigned = {vm.hostname for vm in now.snapshot.vms if vm.pool == name and vm.assignment_id is not None}
    actions = [action for action in then.actions if action.pool == name]
    ends = [(action.hostname, action.reason) for action in actions if action.kind in ("end", "lost")]
    others = [(describe(one), one.reason) for one in actions if one.kind not in ("create", "end", "lost", "gone")]
    waits = [(held.what, held.reason) for held in then.held if held.pool == name]
    present = [vm.hostname for vm in now.snapshot.vms if vm.pool == name]
    before, after = now.decision.pools.get(name), then.pools.get(name)
    return PoolChange(
        name,
        before.declared if before else None,
        after.declared if after else None,
        sum(action.kind == "create" for action in actions),
        ends,
        others,
        waits,
        len(set(present) - {hostname for hostname, _ in ends}),
        sorted(assigned & {hostname for hostname, _ in ends}),
    )


def total(changes: Iterable[PoolChange]) -> tuple[int, int, int]:
    """VMs created and ended, and people disturbed."""
    listed = list(changes)
    return (
        sum(change.creates for change in listed),
        sum(len(change.ends) for change in listed),
        sum(len(change.disturbed) for change in listed),
    )
