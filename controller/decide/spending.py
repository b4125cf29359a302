"""Invariant 9 in money: what a decision creates stays within the budget. Counted by other code than that which decided. Pure."""

from collections.abc import Iterator

from schemas.decision import CreateVm, Decision
from schemas.snapshot import Snapshot
from schemas.spec import VmSpec

from controller.decide.prices import PriceList
from controller.decide.tier import tier_rate

ROUNDING = 0.005


def find_overspending(snapshot: Snapshot, decision: Decision) -> tuple[str, str] | None:
    """The first pool whose creations lead beyond a limit, and the sentence that says so."""
    budget, approval = snapshot.lab.budget, snapshot.approval
    waits = approval.cleared_usd if approval and approval.state == "waiting" else None
    if budget.hourly is None and budget.monthly is None and waits is None:
        return None
    prices = PriceList.of(snapshot.lab.prices, snapshot.live_prices)
    present = [_each(prices, vm.spec) for vm in snapshot.vms]
    rows, tier = sum(each or 0.0 for each in present), tier_rate(snapshot.lab, prices, len(present))
    used = sum(
        (prices.vm(u.region, u.instance_type, (u.volume_type, u.volume_size)) or 0.0) * u.hours for u in snapshot.usage
    )
    for action, each in _creations(decision, prices):
        rows += each or 0.0
        for limit, value in ((budget.hourly, rows + tier), (budget.monthly, used + rows + tier), (waits, rows)):
            if limit is not None and (each is None or value > limit + ROUNDING):
                return action.pool, f"{action.hostname} would be created although money for it is not there"
    return None


def _creations(decision: Decision, prices: PriceList) -> Iterator[tuple[CreateVm, float | None]]:
    for action in decision.actions:
        if isinstance(action, CreateVm):
            yield action, _each(prices, action.spec)


def _each(prices: PriceList, spec: VmSpec) -> float | None:
    return prices.vm(spec.region, spec.instance_type, (spec.volume_type, spec.volume_size))
