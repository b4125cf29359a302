"""Keeps growth within what may be spent: what a tick would create beyond it is held, by a condition that says so. Pure.

Rows are the reservation: a VM counts from the moment it is planned until AWS says that it is terminated. Nothing is ever ended
for the sake of money, and pools are served in the order of their names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from schemas.decision import CreateVm
from schemas.snapshot import Snapshot

from controller.decide.money import Kind, paid_for, price_of, rate_of, usd
from controller.decide.names import counted
from controller.decide.prices import PriceList
from controller.decide.tier import tier_rate
from controller.decide.work import Work


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound: what is left of it, in USD per hour, and the condition that holds once it is reached."""

    left: float
    condition: str
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Purse:
    """What may still be added in this tick. Without limits everything may."""

    prices: PriceList
    limits: tuple[Limit, ...]
    unpriced: str = ""  # why nothing can be counted, so nothing is added

    def refusal(self, kind: Kind) -> Limit | None:
        """The bound that one more VM of this kind would break, or None."""
        if not self.limits:
            return None
        each = price_of(self.prices, kind)
        unknown = self.unpriced or (
            self.prices.missing(kind.region, kind.instance_type, kind.volume[0]) if each is None else ""
        )
        if unknown or each is None:
            return Limit(0.0, "BudgetReached", "PriceUnknown", f"a budget is declared, but {unknown}")
        return next((limit for limit in self.limits if each > limit.left + 1e-9), None)

    def without(self, kind: Kind) -> "Purse":
        each = price_of(self.prices, kind) or 0.0
        return replace(self, limits=tuple(replace(limit, left=limit.left - each) for limit in self.limits))


def read_prices(snapshot: Snapshot) -> PriceList:
    return PriceList.of(snapshot.lab.prices, snapshot.live_prices)


def open_purse(snapshot: Snapshot) -> Purse:
    """What the budget and a change that waits for approval leave, beside all that is paid for already."""
    prices = read_prices(snapshot)
    budget, approval = snapshot.lab.budget, snapshot.approval
    waits = approval is not None and approval.state == "waiting"
    if budget.hourly is None and budget.monthly is None and not waits:
        return Purse(prices, ())
    kinds = paid_for(snapshot)
    vms = rate_of(prices, kinds)
    total = vms.usd + tier_rate(snapshot.lab, prices, len(kinds))
    return Purse(prices, tuple(_limits(snapshot, prices, total, vms.usd)), vms.unpriced[0] if vms.unpriced else "")


def used_share(snapshot: Snapshot) -> float | None:
    """The larger part of `budget.hourly` and `budget.monthly` that is used; None where neither is declared."""
    budget, prices = snapshot.lab.budget, read_prices(snapshot)
    shares = []
    if budget.hourly is not None:
        kinds = paid_for(snapshot)
        total = rate_of(prices, kinds).usd + tier_rate(snapshot.lab, prices, len(kinds))
        shares.append(total / budget.hourly)
    if budget.monthly is not None:
        shares.append(spent(snapshot, prices) / budget.monthly)
    return max(shares, default=None)


def _limits(snapshot: Snapshot, prices: PriceList, total: float, vms: float) -> Iterable[Limit]:
    """Sentences name what is declared, not what was spent by now: that changes with each tick."""
    budget, approval = snapshot.lab.budget, snapshot.approval
    if budget.hourly is not None:
        sentence = f"the budget is {usd(budget.hourly)} an hour, the allocator included"
        yield Limit(budget.hourly - total, "BudgetReached", "Hourly", sentence)
    if budget.monthly is not None:
        sentence = f"the budget is {usd(budget.monthly)} a month, and what is there uses it up"
        yield Limit(budget.monthly - spent(snapshot, prices) - total, "BudgetReached", "Monthly", sentence)
    if approval is not None and approval.state == "waiting":
        more = usd(approval.wanted_usd - approval.cleared_usd)
        sentence = (
            f"version {approval.version} may cost up to {more} an hour more than the one before: "
            f"`lablink approve {approval.version}` lets it, a rollback takes it back"
        )
        yield Limit(approval.cleared_usd - vms, "ApprovalNeeded", "CostsMore", sentence)


def spent(snapshot: Snapshot, prices: PriceList) -> float:
    """USD of the month so far: VMs by their hours, and the allocator tier since the month began."""
    vms = 0.0
    for usage in snapshot.usage:
        each = prices.vm(usage.region, usage.instance_type, (usage.volume_type, usage.volume_size))
        vms += (each or 0.0) * usage.hours
    return vms + tier_rate(snapshot.lab, prices) * tier_hours(snapshot)


def tier_hours(snapshot: Snapshot) -> float:
    """How long the allocator tier has been paid for in the month that runs."""
    began = snapshot.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    since = max(began, snapshot.deployed_at or began)
    return max(0.0, (snapshot.now - since).total_seconds() / 3600)


def keep_within_budget(snapshot: Snapshot, works: Sequence[Work]) -> list[Work]:
    """Each work without the creations that would go beyond; the last names go first."""
    purse = open_purse(snapshot)
    if not purse.limits:
        return list(works)
    kept = []
    for work in works:
        purse, within = _keep(purse, work)
        kept.append(within)
    return kept


def _keep(purse: Purse, work: Work) -> tuple[Purse, Work]:
    held: list[CreateVm] = []
    broken: Limit | None = None
    for action in work.actions:
        if not isinstance(action, CreateVm):
            continue
        kind = Kind.of_spec(action.spec)
        refusal = broken or purse.refusal(kind)
        if refusal is None:
            purse = purse.without(kind)
        else:
            broken = refusal
            held.append(action)
    if broken is None:
        return purse, work
    names = {action.hostname for action in held}
    work = replace(
        work, actions=tuple(one for one in work.actions if one.kind != "create" or one.hostname not in names)
    )
    message = f"{counted(len(held), 'VM')} not created: {broken.sentence}"
    return purse, work.hold(f"create {len(held)}", broken.sentence).find(broken.condition, broken.reason, message)
