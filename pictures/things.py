"""What the resources of the Terraform files are to people: which belong together, under which name, icon and group.

A resource that no thing names is drawn under its own address, so nothing of the files can go missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pictures.expression import UNKNOWN
from pictures.files import Module, Resource
from pictures.picture import Card, Row


@dataclass(frozen=True, slots=True)
class Thing:
    key: str
    title: str
    icon: str
    group: str
    addresses: tuple[str, ...]


THINGS = (
    Thing(
        "dns",
        "Name",
        "dns",
        "edge",
        ("aws_route53_record.allocator", "aws_route53_zone.made", "data.aws_route53_zone.found"),
    ),
    Thing(
        "address",
        "Kept address",
        "address",
        "edge",
        ("aws_eip.allocator", "aws_eip_association.allocator", "data.aws_eip.given"),
    ),
    Thing(
        "balancer",
        "Load balancer",
        "balancer",
        "edge",
        (
            "aws_lb.allocator",
            "aws_lb_listener.https",
            "aws_lb_listener.http",
            "aws_lb_target_group.allocator",
            "aws_lb_target_group_attachment.allocator",
        ),
    ),
    Thing(
        "balancer firewall",
        "Firewall of the load balancer",
        "firewall",
        "edge",
        (
            "aws_security_group.balancer",
            "aws_vpc_security_group_ingress_rule.balancer",
            "aws_vpc_security_group_egress_rule.balancer",
        ),
    ),
    Thing(
        "allocator",
        "Allocator",
        "machine",
        "allocator",
        ("aws_instance.allocator", "aws_autoscaling_group.allocator", "aws_launch_template.allocator"),
    ),
    Thing(
        "allocator firewall",
        "Firewall of the allocator",
        "firewall",
        "allocator",
        (
            "aws_security_group.allocator",
            "aws_vpc_security_group_ingress_rule.allocator",
            "aws_vpc_security_group_ingress_rule.from_balancer",
            "aws_vpc_security_group_egress_rule.allocator",
        ),
    ),
    Thing(
        "allocator role",
        "What the allocator may do",
        "role",
        "allocator",
        (
            "aws_iam_role.allocator",
            "aws_iam_role_policy.allocator",
            "aws_iam_instance_profile.allocator",
            "aws_iam_policy.client_boundary",
        ),
    ),
    Thing("host", "What the host runs", "parameter", "allocator", ("aws_ssm_parameter.host",)),
    Thing("volume", "Data volume", "volume", "data", ("aws_ebs_volume.data", "aws_volume_attachment.data")),
    Thing(
        "snapshots",
        "Daily snapshots",
        "snapshot",
        "data",
        ("aws_dlm_lifecycle_policy.data", "aws_iam_role.snapshots", "aws_iam_role_policy.snapshots"),
    ),
    Thing(
        "database",
        "PostgreSQL of RDS",
        "rds",
        "data",
        (
            "aws_db_instance.lablink",
            "aws_db_subnet_group.lablink",
            "aws_security_group.database",
            "aws_vpc_security_group_ingress_rule.database",
        ),
    ),
    Thing(
        "buckets",
        "Buckets",
        "bucket",
        "data",
        (
            "aws_s3_bucket.kept",
            "aws_s3_bucket_versioning.kept",
            "aws_s3_bucket_server_side_encryption_configuration.kept",
            "aws_s3_bucket_public_access_block.kept",
            "aws_s3_bucket_lifecycle_configuration.kept",
            "aws_s3_bucket_policy.kept",
        ),
    ),
    Thing("lock", "Locks of the states", "table", "data", ("aws_dynamodb_table.lock",)),
    Thing(
        "client logs",
        "Logs of client VMs",
        "logs",
        "logs",
        ("aws_cloudwatch_log_group.client", "aws_cloudwatch_log_subscription_filter.client"),
    ),
    Thing(
        "lambda",
        "Log Lambda",
        "lambda",
        "logs",
        (
            "aws_lambda_function.log_processor",
            "aws_lambda_permission.logs",
            "aws_iam_role.lambda",
            "aws_iam_role_policy.lambda",
        ),
    ),
    Thing("dead letters", "What could not be delivered", "queue", "logs", ("aws_sqs_queue.dead_letters",)),
    Thing(
        "own logs",
        "Logs of allocator and Lambda",
        "logs",
        "logs",
        ("aws_cloudwatch_log_group.allocator", "aws_cloudwatch_log_group.lambda"),
    ),
    Thing(
        "alarms",
        "Alarms and dashboard",
        "alarm",
        "logs",
        ("aws_cloudwatch_metric_alarm.lablink", "aws_cloudwatch_dashboard.lablink"),
    ),
    Thing("vms", "Client VMs, in shards", "machine", "client", ("aws_instance.vm",)),
    Thing(
        "client firewall",
        "Firewall of client VMs",
        "firewall",
        "client",
        ("aws_security_group.vm", "aws_vpc_security_group_ingress_rule.ssh", "aws_vpc_security_group_egress_rule.any"),
    ),
    Thing(
        "client role",
        "What client VMs may do",
        "role",
        "client",
        ("aws_iam_role.vm", "aws_iam_role_policy.vm", "aws_iam_instance_profile.vm"),
    ),
    Thing("client key", "SSH key", "key", "client", ("aws_key_pair.vm",)),
)
OWNER = {address: thing for thing in THINGS for address in thing.addresses}
WORDS = {
    "aws_autoscaling_group": "{min_size} to {max_size} machines",
    "aws_cloudwatch_log_group": "kept {retention_in_days} days",
    "aws_db_instance": "{engine} {engine_version}, {instance_class}",
    "aws_ebs_volume": "{size} GiB {type}",
    "aws_instance": "{instance_type}",
    "aws_lambda_function": "{runtime}, {memory_size} MB",
    "aws_launch_template": "{instance_type}",
    "aws_lb": "calls held up to {idle_timeout} s",
    "aws_lb_listener": "{protocol} {port}",
    "aws_route53_record": "{name}",
    "aws_route53_zone": "{name}",
}
"""Said of a resource of this type, from its attributes."""


def describe(resource: Resource) -> str:
    """A few words about a resource; "" where the files do not know them before an apply."""
    pattern = WORDS.get(resource.type, "")
    names = [part.partition("}")[0] for part in pattern.split("{")[1:]]
    values = {name: resource.attribute(name) for name in names}
    if not pattern or any(value is UNKNOWN or value is None or value == "" for value in values.values()):
        return ""
    return pattern.format(**values)


def made_things(*modules: Module) -> dict[str, tuple[Thing, list[Resource]]]:
    """The things that the document makes, each with its resources that are made."""
    found: dict[str, tuple[Thing, list[Resource]]] = {}
    for module in modules:
        for resource in module.made.values():
            thing = OWNER.get(resource.address) or _unnamed(module, resource)
            if thing is not None:
                found.setdefault(thing.key, (thing, []))[1].append(resource)
    order = {thing.key: index for index, thing in enumerate(THINGS)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _unnamed(module: Module, resource: Resource) -> Thing | None:
    """A thing for a resource that none names; data sources that none names are how others are found, and stand for nothing."""
    if resource.kind == "data":
        return None
    group = "client" if module.name.startswith("terraform/") else "allocator"
    return Thing(resource.address, resource.address, "", group, (resource.address,))


def list_rows(resources: Iterable[Resource]) -> tuple[Row, ...]:
    """Each resource by its address, with how often it is made and what is said of it."""
    return tuple(Row((_count(one), describe(one))) for one in resources)


def _count(resource: Resource) -> str:
    several = len(resource.instances)
    return f"{resource.address} ×{several}" if several > 1 else resource.address


def detailed_cards(made: dict[str, tuple[Thing, list[Resource]]]) -> Iterator[Card]:
    for thing, resources in made.values():
        yield Card(thing.key, thing.title, thing.icon, rows=list_rows(resources), group=thing.group)


def references(made: dict[str, tuple[Thing, list[Resource]]]) -> set[tuple[str, str]]:
    """Pairs of things of which the first one's resources refer to the second one's."""
    owners = {one.address: thing.key for thing, resources in made.values() for one in resources}
    pairs = (
        (owners[one.address], owners.get(name))
        for _, resources in made.values()
        for one in resources
        for name in one.refers
    )
    return {(tail, head) for tail, head in pairs if head is not None and head != tail}
