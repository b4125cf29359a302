"""`architecture-detailed`: every resource that the Terraform files make of the document, and which refer to which."""

from pictures.facts import Facts, describe_size
from pictures.picture import Arrow, Card, Group, Picture, Row
from pictures.things import detailed_cards, made_things, references

GROUPS = (
    Group("edge", "Where people come in"),
    Group("allocator", "Allocator"),
    Group("data", "What is kept"),
    Group("logs", "Logs and alarms"),
    Group("client", "Client tier, by the controller: once for each pool and region"),
)


def draw_detailed(facts: Facts) -> Picture:
    lab = facts.lab
    made = made_things(facts.allocator, facts.bootstrap, facts.base(*lab.pools.values()), facts.vms)
    cards = (*detailed_cards(made), _pools(facts))
    arrows = [Arrow(tail, head, faint=True) for tail, head in sorted(references(made))]
    arrows += [Arrow("vms", key, faint=True) for key in ("client firewall", "client role", "client key")]
    used = {card.group for card in cards}
    return Picture(
        title=f"{facts.name}: all resources",
        about=f"As lablink.yaml declares them; allocator in {lab.region}. A dashed arrow leads to what a resource refers to.",
        cards=cards,
        arrows=(*arrows, Arrow("pools", "vms", "makes and ends, by Terraform")),
        groups=tuple(group for group in GROUPS if group.key in used),
    )


def _pools(facts: Facts) -> Card:
    rows = [
        Row((name, pool.region, describe_size(pool), " or ".join(pool.instance_type), pool.market))
        for name, pool in facts.lab.pools.items()
    ]
    return Card("pools", "Pools", "group", rows=tuple(rows), group="client")
