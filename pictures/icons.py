"""Icons by a short name, from those that the package `diagrams` brings."""

from pathlib import Path

import diagrams

FOLDER = Path(diagrams.__file__).parents[1] / "resources"
ICONS = {
    "address": "aws/compute/ec2-elastic-ip-address",
    "alarm": "aws/management/cloudwatch-alarm",
    "balancer": "aws/network/elb-application-load-balancer",
    "bucket": "aws/storage/simple-storage-service-s3-bucket",
    "caddy": "onprem/network/caddy",
    "cloudflare": "saas/cdn/cloudflare",
    "cloudwatch": "aws/management/cloudwatch",
    "command": "aws/management/command-line-interface",
    "container": "onprem/container/docker",
    "dns": "aws/network/route-53",
    "document": "programming/flowchart/document",
    "firewall": "generic/network/firewall",
    "gpu": "aws/compute/ec2",
    "group": "aws/compute/ec2-auto-scaling",
    "internet": "aws/general/internet-alt1",
    "key": "aws/security/identity-and-access-management-iam-data-encryption-key",
    "lambda": "aws/compute/lambda-function",
    "logs": "aws/management/cloudwatch-logs",
    "machine": "aws/compute/ec2-instance",
    "mail": "aws/integration/simple-notification-service-sns-email-notification",
    "message": "aws/integration/simple-notification-service-sns-http-notification",
    "parameter": "aws/management/systems-manager-parameter-store",
    "people": "aws/general/users",
    "person": "aws/general/user",
    "postgresql": "onprem/database/postgresql",
    "program": "programming/language/python",
    "queue": "aws/integration/simple-queue-service-sqs-queue",
    "rds": "aws/database/rds-postgresql-instance",
    "role": "aws/security/identity-and-access-management-iam-role",
    "script": "programming/language/bash",
    "slack": "saas/chat/slack",
    "snapshot": "aws/storage/elastic-block-store-ebs-snapshot",
    "spot": "aws/compute/ec2-spot-instance",
    "table": "aws/database/dynamodb-table",
    "terraform": "onprem/iac/terraform",
    "topic": "aws/integration/simple-notification-service-sns-topic",
    "volume": "aws/storage/elastic-block-store-ebs-volume",
    "wait": "programming/flowchart/delay",
}


def find_icon(name: str) -> Path:
    return FOLDER / f"{ICONS[name]}.png"
