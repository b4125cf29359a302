"""What is drawn of a deployment is what the Terraform files make of its document: all of it, and nothing else."""

import re

import pytest

from pictures.kinds import Kind
from tests.pictures.drawn import ROOT, draw_document

BASE = """
format: 1
pools:
  client: {size: 5, instance_type: [t3.large]}
"""
LARGE = """
format: 1
dns: {enabled: true, domain: lab.example.org}
ssl: {provider: acm, certificate_arn: "arn:aws:acm:us-west-2:123456789012:certificate/a"}
database: {mode: rds, instance_class: db.t4g.small, multi_az: true}
allocator: {replicas: 2, ssh: {ingress: [198.51.100.0/24]}}
backup: {bucket: example-lablink-backups}
notify: [{sns: "arn:aws:sns:us-west-2:123456789012:told"}]
pools:
  client: {size: {min: 2, max: 20, spare: 2}, access_code: sesame-42}
  europe: {size: 5, region: eu-west-1, market: spot, ami: {eu-west-1: ami-0601752c11b394251}}
  cpu: {size: 3, instance_type: t3.large, ssh: {ingress: [192.0.2.0/24]}}
"""
ONLY_ONE_MACHINE = {
    "aws_ebs_volume.data", "aws_volume_attachment.data", "aws_dlm_lifecycle_policy.data", "aws_iam_role.snapshots",
    "aws_iam_role_policy.snapshots", "aws_instance.allocator", "aws_lb_target_group_attachment.allocator",
    "aws_eip.allocator", "aws_eip_association.allocator", "aws_route53_zone.made", "aws_dynamodb_table.lock",
}  # fmt: skip
NOT_IN_BASE = {
    "aws_route53_zone.made", "aws_route53_record.allocator", "aws_eip.allocator", "aws_eip_association.allocator",
    "aws_security_group.balancer", "aws_vpc_security_group_ingress_rule.balancer",
    "aws_vpc_security_group_egress_rule.balancer", "aws_vpc_security_group_ingress_rule.from_balancer", "aws_lb.allocator",
    "aws_lb_target_group.allocator", "aws_lb_target_group_attachment.allocator", "aws_lb_listener.http",
    "aws_lb_listener.https", "aws_launch_template.allocator", "aws_autoscaling_group.allocator", "aws_db_instance.lablink",
    "aws_db_subnet_group.lablink", "aws_security_group.database", "aws_vpc_security_group_ingress_rule.database",
    "aws_s3_bucket.kept", "aws_s3_bucket_versioning.kept", "aws_s3_bucket_server_side_encryption_configuration.kept",
    "aws_s3_bucket_public_access_block.kept", "aws_s3_bucket_lifecycle_configuration.kept", "aws_s3_bucket_policy.kept",
    "aws_dynamodb_table.lock",
}  # fmt: skip


def written() -> set[str]:
    """Every resource of the files, by their text."""
    files = [*ROOT.glob("infrastructure/**/*.tf"), *ROOT.glob("terraform/*/*.tf")]
    return {
        f"{kind}.{name}"
        for file in files
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', file.read_text(), re.M)
    }


@pytest.mark.parametrize(
    ("document", "left_out"), [(BASE, NOT_IN_BASE), (LARGE, ONLY_ONE_MACHINE)], ids=["base", "large"]
)
def test_all_resources_are_drawn_but_those_that_the_document_does_not_make(document: str, left_out: set[str]) -> None:
    assert left_out <= written()
    drawn = draw_document(Kind.DETAILED, document)
    assert {one for one in drawn.addresses if not one.startswith("data.")} == written() - left_out
    others = [draw_document(kind, document).addresses for kind in (Kind.NETWORK, Kind.LOGS, Kind.PROVISIONING)]
    assert all(addresses and addresses <= drawn.addresses for addresses in others)


LETSENCRYPT = (
    BASE + "ssl: {provider: letsencrypt, email: a@example.org}\ndns: {enabled: true, domain: lab.example.org}\n"
)
CLOUDFLARE = (
    BASE + "ssl: {provider: cloudflare}\ndns: {enabled: true, terraform_managed: false, domain: lab.example.org}\n"
)
PERSISTENT = BASE + "eip: {strategy: persistent}\n"
GIVEN = BASE + "eip: {strategy: persistent, allocation_id: eipalloc-0123456789abcdef0}\n"
STATES = BASE + "state: {backend: s3, bucket: example-states, lock: dynamodb}\n"
EXTERNAL = BASE + "database: {mode: external}\n"
OPEN = BASE + "allocator: {open_port_5000: true}\n"
PAUSED = BASE.replace("size: 5", "size: 5, paused: true, startup_script: {path: start.sh, on_error: fail}")
GPU = BASE.replace("t3.large", "g4dn.xlarge")
KEPT = BASE + "logs: {cloudwatch_days: 90, database_days: 60}\n"
ANYONE = BASE.replace("size: 5", "size: 5, access_code: sesame-42") + "repeat: open\nvm_auth: hostname\nseat_hold: 9m\n"


@pytest.mark.parametrize(
    ("kind", "document", "words"),
    [
        (Kind.ARCHITECTURE, LARGE, ["Load balancer", "Route 53", "PostgreSQL of RDS", "a standby in a second zone", "db.t4g.small"]),
        (Kind.ARCHITECTURE, LARGE, ["Buckets of S3", "backups every 6h, 28 kept", "sns: told", "eu-west-1", "spot", "2 to 20 VMs, 2 spare"]),
        (Kind.ARCHITECTURE, LETSENCRYPT, ["Caddy", "certificate of Let's Encrypt", "Route 53"]),
        (Kind.ARCHITECTURE, CLOUDFLARE, ["Cloudflare", "Caddy", "DNS kept by hand"]),
        (Kind.ARCHITECTURE, PERSISTENT, ["Kept address"]),
        (Kind.ARCHITECTURE, STATES, ["states: in S3, example-states", "states, locked by DynamoDB"]),
        (Kind.ARCHITECTURE, EXTERNAL, ["Your PostgreSQL"]),
        (Kind.ARCHITECTURE, PAUSED, ["paused"]),
        (Kind.DETAILED, GIVEN, ["data.aws_eip.given", "aws_eip_association.allocator"]),
        (Kind.DETAILED, STATES, ["aws_dynamodb_table.lock", "aws_s3_bucket.kept"]),
        (Kind.NETWORK, LARGE, ["aws_security_group.balancer", "5432", "198.51.100.0/24", "192.0.2.0/24", "aws_lb_listener.https"]),
        (Kind.NETWORK, LETSENCRYPT, ["port 5000, within the machine", "lab.example.org"]),
        (Kind.NETWORK, OPEN, ["80, 443, 5000"]),
        (Kind.LOGS, KEPT, ["kept 90 days", "vm_log: a partition a day, kept 60"]),
        (Kind.LOGS, LARGE, ["SNS", "target-5xx"]),
        (Kind.PROVISIONING, GPU, ["Prepare the GPU"]),
        (Kind.PROVISIONING, LARGE, ["Spot: AWS takes it back"]),
        (Kind.PROVISIONING, PAUSED, ["Run the start-up script", "client: on error fail"]),
        (Kind.CONNECTION, LARGE, ["asks for an access code: client", "https"]),
        (Kind.CONNECTION, ANYONE, ["known by its host name", "gives the email", "held 9m"]),
    ],
)  # fmt: skip
def test_a_part_is_there_when_the_document_asks_for_it_and_only_then(
    kind: Kind, document: str, words: list[str]
) -> None:
    drawn, without = draw_document(kind, document), draw_document(kind, BASE)
    assert [one for one in words if one not in drawn.text] == []
    assert [one for one in words if one in without.text] == []


def test_arrows_are_what_security_groups_allow() -> None:
    drawn = draw_document(Kind.NETWORK, BASE)
    assert {
        ("the world", "allocator"),
        ("allocator", "VMs of client"),
        ("allocator", "out"),
        ("VMs of client", "out"),
    } <= drawn.arrows
    assert ("the world", "VMs of client") not in drawn.arrows
    large = draw_document(Kind.NETWORK, LARGE)
    assert {
        ("the world", "balancer"),
        ("balancer", "allocator"),
        ("allocator", "database"),
        ("192.0.2.0/24", "VMs of cpu"),
    } <= large.arrows
    assert not {("the world", "allocator"), ("the world", "database"), ("192.0.2.0/24", "VMs of client")} & large.arrows


def test_steps_of_the_first_boot_are_those_of_the_user_data_in_their_order() -> None:
    steps = re.findall(r'^run_step "([^"]+)"', (ROOT / "terraform/vms/setup.sh").read_text(), re.M)
    document = GPU.replace("size: 5", "size: 5, startup_script: {path: start.sh}")
    numbered = [words for words in draw_document(Kind.PROVISIONING, document).words if re.match(r"\d+\. ", words)]
    ordered = [words.partition(". ")[2] for words in sorted(numbered, key=lambda words: int(words.partition(".")[0]))]
    assert [step.lower() for step in ordered[-len(steps) :]] == [step.lower() for step in steps]
    without = draw_document(Kind.PROVISIONING, BASE).text
    assert "Prepare the GPU" not in without
    assert "start-up script" not in without


def test_the_way_of_a_line_is_the_lambdas() -> None:
    drawn = draw_document(Kind.LOGS, BASE)
    path = {
        ("agent", "client logs"),
        ("client logs", "lambda"),
        ("lambda", "api"),
        ("api", "table"),
        ("lambda", "dead letters"),
    }
    assert path <= drawn.arrows
    assert "/var/log/cloud-init-output.log" in drawn.text
    assert "POST /api/vm-logs" in drawn.text
    assert "lablink-cloud-init-dev" in drawn.text
