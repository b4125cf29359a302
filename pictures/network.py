"""`network-flow`: who may open a connection to whom, port by port, as the rules of the security groups say."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from pictures.expression import UNKNOWN
from pictures.facts import ALLOCATOR_CIDR, Facts
from pictures.files import Instance, Module, Resource
from pictures.picture import Arrow, Card, Group, Picture, Row
from pictures.things import OWNER, describe, made_things

WORLD = ("0.0.0.0/0", "::/0")
MEMBERSHIP = ("vpc_security_group_ids", "security_groups")
RULES = {"aws_vpc_security_group_ingress_rule": "in", "aws_vpc_security_group_egress_rule": "out"}
CLIENT_GROUP = "aws_security_group.vm"
"""A shard is told it by its variable `base`: the output of the pool's module."""
NAMES = ("dns", "address")
CADDY = ("Caddy: ports 80 and 443, ends TLS", "API: port 5000, within the machine")
PLAIN = ("port 80 leads to the API's 5000",)
LISTENING = {"none": PLAIN, "letsencrypt": CADDY, "cloudflare": CADDY, "acm": PLAIN}
"""What the host makes listen, as deploy/host/lablink-host has it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One allowance of a security group; `other` is a network or the address of another group."""

    group: str
    way: str  # in | out
    port: str
    other: str


def read_rules(module: Module) -> Iterator[Rule]:
    for resource in module.of_type(*RULES):
        (group,) = resource.mentions("security_group_id")
        for instance in resource.instances:
            yield Rule(group, RULES[resource.type], _port(resource, instance), _other(resource, instance))


def _port(resource: Resource, instance: Instance) -> str:
    return (
        "all ports"
        if resource.attribute("ip_protocol", instance) == "-1"
        else str(resource.attribute("from_port", instance))
    )


def _other(resource: Resource, instance: Instance) -> str:
    referenced = resource.mentions("referenced_security_group_id")
    if referenced:
        return next(iter(referenced))
    written = (resource.attribute(name, instance) for name in ("cidr_ipv4", "cidr_ipv6"))
    return next(str(cidr) for cidr in written if cidr not in (None, UNKNOWN))


def draw_network(facts: Facts) -> Picture:
    bases = {name: facts.base(pool) for name, pool in facts.lab.pools.items()}
    rules = [*read_rules(facts.allocator)]
    rules += [_of_pool(rule, name) for name, base in bases.items() for rule in read_rules(base)]
    cards = [*_members(facts), *_networks(rules), *_names(facts)]
    return Picture(
        title=f"{facts.name}: who may connect to whom",
        about="Frames are security groups, arrows what their rules allow; all else is closed.",
        cards=tuple(cards),
        arrows=(*_rule_arrows(rules), *_name_arrows({card.key for card in cards})),
        groups=tuple(_list_groups(facts)),
    )


def _of_pool(rule: Rule, pool: str) -> Rule:
    other = "aws_security_group.allocator" if rule.other == ALLOCATOR_CIDR else rule.other
    return Rule(f"{rule.group} of {pool}", rule.way, rule.port, other)


def _list_groups(facts: Facts) -> Iterator[Group]:
    for group in facts.allocator.of_type("aws_security_group"):
        yield Group(group.address, f"{OWNER[group.address].title if group.address in OWNER else ''} · {group.address}")
    for name in facts.lab.pools:
        yield Group(f"{CLIENT_GROUP} of {name}", f"Client VMs of {name} · {CLIENT_GROUP}")


# -- cards -------------------------------------------------------------------------------------------


def _members(facts: Facts) -> Iterator[Card]:
    """What is in each security group."""
    for thing, resources in made_things(facts.allocator).values():
        groups = {group for one in resources for group in one.mentions(*MEMBERSHIP)}
        rows = tuple(Row((one.address, describe(one))) for one in resources if "security_group" not in one.type)
        lines = LISTENING[facts.lab.ssl.provider] if thing.key == "allocator" else ()
        yield from (Card(thing.key, thing.title, thing.icon, lines, rows, group) for group in groups)
    for name, pool in facts.lab.pools.items():
        row = Row(("aws_instance.vm", pool.region))
        yield Card(f"VMs of {name}", name, "machine", rows=(row,), group=f"{CLIENT_GROUP} of {name}")


def _networks(rules: list[Rule]) -> Iterator[Card]:
    """Who is named by a network."""
    if any(rule.other in WORLD and rule.way == "in" for rule in rules):
        yield Card("the world", "Anywhere", "internet", ("people, admins, client VMs, the log Lambda",))
    if any(rule.other in WORLD and rule.way == "out" for rule in rules):
        yield Card("out", "Anywhere", "internet", ("AWS, packages, images, Chrome Remote Desktop",))
    for cidr in sorted({rule.other for rule in rules if "/" in rule.other} - {*WORLD}):
        yield Card(cidr, cidr, "internet", ("a network that lablink.yaml names",))


def _names(facts: Facts) -> Iterator[Card]:
    made = made_things(facts.allocator)
    for key in NAMES:
        if key in made:
            thing, resources = made[key]
            yield Card(key, thing.title, thing.icon, rows=tuple(Row((one.address, describe(one))) for one in resources))


# -- arrows ------------------------------------------------------------------------------------------


def _rule_arrows(rules: list[Rule]) -> Iterator[Arrow]:
    """One for all ports between the same two."""
    ports: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule in rules:
        inward = rule.way == "in"
        other = ("the world" if inward else "out") if rule.other in WORLD else rule.other
        pair = (other, rule.group) if inward else (rule.group, other)
        ports[pair] += [] if rule.port in ports[pair] else [rule.port]
    for (tail, head), several in ports.items():
        yield Arrow(tail, head, ", ".join(sorted(several, key=lambda port: (len(port), port))))


def _name_arrows(there: set[str]) -> Iterator[Arrow]:
    named = {"dns": "balancer" if "balancer" in there else "allocator", "address": "allocator"}
    yield from (Arrow(key, named[key], "points to", faint=True) for key in NAMES if key in there)
