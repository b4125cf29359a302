"""`architecture`: the parts of a deployment on one page, with those alone that the document asks for."""

from collections.abc import Iterator
from itertools import pairwise

from pictures.facts import Facts, describe_size
from pictures.picture import Arrow, Card, Group, Picture
from schemas.lab import Lab
from schemas.values import format_duration

MADE = {
    "dns": ("aws_route53_record.allocator",),
    "balancer": ("aws_lb.allocator",),
    "address": ("aws_eip_association.allocator",),
    "allocator": ("aws_instance.allocator", "aws_autoscaling_group.allocator"),
    "volume": ("aws_ebs_volume.data",),
    "snapshots": ("aws_dlm_lifecycle_policy.data",),
    "rds": ("aws_db_instance.lablink",),
    "logs": ("aws_cloudwatch_log_group.client",),
    "lambda": ("aws_lambda_function.log_processor",),
    "letters": ("aws_sqs_queue.dead_letters",),
    "alarms": ("aws_cloudwatch_metric_alarm.lablink",),
    "buckets": ("aws_s3_bucket.kept",),
}
"""The resources that a part stands for; it is drawn where one of them is made."""
POPULATED = {"aws", "pools"}
"""Groups in which groups lie."""
RECEIVERS = {"webhook": "message", "slack": "slack", "sns": "topic", "email": "mail"}


IN_FRONT = ("cloudflare", "balancer", "caddy", "api")
"""Where people come in: the first of these that there is."""


def draw_architecture(facts: Facts) -> Picture:
    cards = {card.key: card for card in _list_cards(facts)}
    groups = {
        group.key: group
        for group in _list_groups(facts)
        if group.key in POPULATED | {card.group for card in cards.values()}
    }
    front = [key for key in IN_FRONT if key in cards]
    arrows = [*_list_ways_in(facts.lab, front), *ARROWS]
    return Picture(
        title=f"{facts.name}: architecture",
        about=f"As lablink.yaml declares it; allocator in {facts.lab.region}.",
        cards=tuple(cards.values()),
        arrows=tuple(one for one in arrows if {one.tail, one.head} <= {*cards, *groups}),
        groups=tuple(groups.values()),
    )


def _list_groups(facts: Facts) -> Iterator[Group]:
    lab, machine = facts.lab, "Allocator"
    replicas = "two machines, one of them leads" if lab.allocator.replicas > 1 else "one machine"
    yield Group("aws", f"AWS, {lab.region}")
    yield Group("machine", f"{machine}: {replicas}, {lab.allocator.instance_type}", inside="aws")
    yield Group("kept", "What is kept", inside="aws")
    yield Group("logs", "Logs and alarms", inside="aws")
    yield Group("pools", "Client VMs")
    for region in sorted({pool.region for pool in lab.pools.values()}):
        yield Group(f"pools {region}", region, inside="pools")


# -- cards -------------------------------------------------------------------------------------------


def _list_cards(facts: Facts) -> Iterator[Card]:
    lab, made = facts.lab, {*facts.allocator.made, *facts.bootstrap.made}
    there = {key for key, addresses in MADE.items() if made & set(addresses)}
    yield Card("people", "People", "people", ("a browser, and Chrome Remote Desktop in it",))
    yield Card("admins", "Admins and programs", "person", ("lablink.yaml, pages, command, API",))
    yield from (card for card in _ways_in(lab) if card.key in there or card.key in ("caddy", "cloudflare", "by hand"))
    yield from _programs(lab)
    yield from (card for card in _stores(lab) if card.key in there or card.key == "external")
    yield from (card for card in _watchers(lab) if card.key in there)
    yield from _receivers(lab)
    yield from _pools(lab)


def _ways_in(lab: Lab) -> Iterator[Card]:
    if lab.ssl.provider == "cloudflare":
        yield Card("cloudflare", "Cloudflare", "cloudflare", ("shows people its certificate",))
    if lab.ssl.provider in ("letsencrypt", "cloudflare"):
        staging = ", staging" if lab.ssl.staging else ""
        words = (
            f"certificate of Let's Encrypt{staging}" if lab.ssl.provider == "letsencrypt" else "certificate of its own"
        )
        yield Card("caddy", "Caddy", "caddy", ("ends TLS", words), group="machine")
    yield Card("dns", "Route 53", "dns", (lab.dns.domain,), group="aws")
    if lab.dns.enabled and not lab.dns.terraform_managed:
        yield Card("by hand", "DNS kept by hand", "dns", (lab.dns.domain,))
    yield Card("balancer", "Load balancer", "balancer", ("ends TLS", "certificate of ACM"), group="aws")
    yield Card("address", "Kept address", "address", ("stays when the machine is replaced",), group="machine")


def _programs(lab: Lab) -> Iterator[Card]:
    yield Card("api", "API", "program", ("pages, calls, waiting VMs",), group="machine")
    yield Card("controller", "Controller", "program", ("observes, decides, applies",), group="machine")
    yield Card("terraform", "Terraform", "terraform", (f"states: {_states(lab)}",), group="machine")
    if lab.database.mode == "embedded":
        yield Card("postgresql", "PostgreSQL", "postgresql", ("the record of all",), group="machine")


def _states(lab: Lab) -> str:
    places = {"database": "in the database", "local": "on its disk", "s3": f"in S3, {lab.state.bucket}"}
    return places[lab.state.backend]


def _stores(lab: Lab) -> Iterator[Card]:
    yield Card(
        "volume",
        "Data volume",
        "volume",
        (f"{lab.allocator.volume.size} GiB {lab.allocator.volume.type}, survives the machine",),
        group="kept",
    )
    yield Card("snapshots", "Snapshots", "snapshot", ("daily, seven kept",), group="kept")
    zones = "a standby in a second zone" if lab.database.multi_az else "in one zone"
    yield Card("rds", "PostgreSQL of RDS", "rds", (lab.database.instance_class, zones), group="kept")
    if lab.database.mode == "external":
        yield Card("external", "Your PostgreSQL", "postgresql", ("the record of all",))
    yield Card("buckets", "Buckets of S3", "bucket", tuple(_bucket_words(lab)), group="kept")


def _bucket_words(lab: Lab) -> Iterator[str]:
    if lab.backup.bucket:
        yield f"backups every {format_duration(lab.backup.every)}, {lab.backup.keep} kept"
    if lab.state.backend == "s3":
        yield f"states, locked by {'DynamoDB' if lab.state.lock == 'dynamodb' else 'S3'}"


def _watchers(lab: Lab) -> Iterator[Card]:
    yield Card("logs", "CloudWatch Logs", "logs", (f"kept {lab.logs.cloudwatch_days} days",), group="logs")
    yield Card("lambda", "Log Lambda", "lambda", ("brings lines to the API",), group="logs")
    yield Card("letters", "Dead letters", "queue", ("lines that wait for an API that was away",), group="logs")
    yield Card("alarms", "Alarms", "alarm", ("machine, disk, Lambda, pools",), group="logs")


def _receivers(lab: Lab) -> Iterator[Card]:
    """Hosts and addresses only: the rest of a receiver's address may be a secret."""
    if lab.notify:
        ways = [f"{one.way}: {one.shown.rpartition(':')[2] if one.sns else one.shown}" for one in lab.notify]
        yield Card("told", "Who is told of conditions", RECEIVERS[lab.notify[0].way], tuple(ways))


def _pools(lab: Lab) -> Iterator[Card]:
    for name, pool in lab.pools.items():
        types = " or ".join(pool.instance_type)
        lines = [
            describe_size(pool),
            types,
            *(["spot"] if pool.market == "spot" else []),
            *(["paused"] if pool.paused else []),
        ]
        icon = "spot" if pool.market == "spot" else "machine"
        yield Card(f"pool {name}", name, icon, tuple(lines), group=f"pools {pool.region}")


# -- arrows ------------------------------------------------------------------------------------------

ARROWS = (
    Arrow("api", "postgresql", both=True),
    Arrow("controller", "postgresql", both=True),
    Arrow("api", "rds", both=True),
    Arrow("controller", "rds", both=True),
    Arrow("api", "external", "TLS", both=True),
    Arrow("controller", "external", both=True),
    Arrow("controller", "terraform", "what was decided"),
    Arrow("postgresql", "volume"),
    Arrow("volume", "snapshots"),
    Arrow("postgresql", "buckets", "backups"),
    Arrow("rds", "buckets", "backups"),
    Arrow("external", "buckets", "backups"),
    Arrow("terraform", "pools", "makes and ends VMs"),
    Arrow("pools", "logs", "each line"),
    Arrow("pools", "api", "waits for its person, says how it is", back=True),
    Arrow("controller", "told", "conditions"),
    Arrow("controller", "alarms", "pools not converged"),
    Arrow("logs", "lambda", "batches"),
    Arrow("lambda", "letters", "not delivered"),
    Arrow("lambda", "api", "POST /api/vm-logs", back=True),
)


def _list_ways_in(lab: Lab, front: list[str]) -> Iterator[Arrow]:
    secure = "https" if lab.ssl.provider != "none" else "http"
    for who in ("people", "admins"):
        yield Arrow(who, front[0], secure)
    for one, other in pairwise(front):
        yield Arrow(one, other, "https" if one == "cloudflare" else "http")
    for key in ("dns", "by hand"):
        yield Arrow(key, front[0], "points to", faint=True)
    if any(one.sns for one in lab.notify):
        yield Arrow("alarms", "told", "by sns")
