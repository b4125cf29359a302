"""Whether a change of the declaration may cost so much more that a person has to say yes. Pure.

Called by the controller when a version comes into force, and by previews before it does.
"""

from schemas.lab import Lab
from schemas.price import Approval

from controller.decide.money import declared_rate
from controller.decide.prices import PriceList


def weigh_change(
    version: int, before: Lab, after: Lab, prices: PriceList, cleared_usd: float | None = None
) -> Approval | None:
    """None: it may come unasked. `cleared_usd` is what may be spent per hour already, where that is not what `before` declares.

    The lower threshold counts, so that no change can lift it for itself. VMs without a known price ask where a document names one.
    """
    budgets = [lab.budget for lab in (before, after) if lab.budget.approve_above is not None]
    if not budgets:
        return None
    was, wanted = declared_rate(before, prices), declared_rate(after, prices)
    cleared = was.usd if cleared_usd is None else cleared_usd
    above = min(budget.approve_above or 0.0 for budget in budgets)
    named = any("approve_above" in budget.model_fields_set for budget in budgets)
    if wanted.usd - cleared <= above and not (named and set(wanted.unpriced) - set(was.unpriced)):
        return None
    return Approval(version=version, cleared_usd=cleared, wanted_usd=wanted.usd)
