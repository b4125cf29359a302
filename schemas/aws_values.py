"""The names and identifiers of AWS that `lablink.yaml` uses, each checked in one sentence; no call to AWS is made."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from schemas.values import Optional, Whole, Written, nearest, refuse

# The regions of EC2 that an ordinary, GovCloud, China or European Sovereign account can see (botocore's endpoint data;
# a test compares). https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
# fmt: off
REGIONS = (
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
    "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
    "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2",
    "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1",
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "cn-north-1", "cn-northwest-1",
    "us-gov-east-1", "us-gov-west-1", "eusc-de-east-1",
)
# fmt: on

Gigabytes = Annotated[Whole, Field(ge=8, le=16384)]
InstanceType = Annotated[
    str,
    Written(
        r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9]+xl)?)",
        "must be an EC2 instance type, such as g4dn.xlarge",
    ),
]
AmiId = Annotated[
    str,
    Written(r"ami-[0-9a-f]{8,17}", "must be the id of an AMI, such as ami-0601752c11b394251"),
]
AmiSource = Annotated[
    str,
    Written(
        r"ami-[0-9a-f]{8,17}|/[A-Za-z0-9_./-]{1,1010}",
        "must be the id of an AMI (ami-0601752c11b394251), an SSM parameter path that begins with /, or a mapping from"
        " regions to AMI ids",
    ),
]
Zone = Annotated[
    str,
    Written(
        r"[a-z]{2,4}(-[a-z]+)+-[0-9]+([a-z]|-[a-z]+-[0-9]+[a-z])",
        "must be a zone, such as us-west-2a",
    ),
]
BucketName = Annotated[
    str,
    Optional(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "must be the name of an S3 bucket"),
]
Arn = Annotated[
    str,
    Optional(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:[A-Za-z0-9_./:@+=,-]{1,200}", "must be an ARN"),
]
AllocationId = Annotated[
    str, Optional(r"eipalloc-[0-9a-f]{8,17}", "must be an allocation id, such as eipalloc-0123456789abcdef0")
]
HostedZoneId = Annotated[
    str, Optional(r"Z[A-Z0-9]{1,31}", "must be the id of a hosted zone, such as Z0123456789ABCDEFGHIJ")
]
RdsClass = Annotated[str, Optional(r"db\.[a-z0-9-]+\.[a-z0-9]+", "must be an RDS instance class, such as db.t4g.small")]
TopicArn = Annotated[
    str,
    Written(
        r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}",
        "must be the ARN of an SNS topic",
    ),
]


def _region(text: str) -> str:
    if text not in REGIONS:
        raise refuse(f'there is no AWS region "{text}"', nearest(text, list(REGIONS)))
    return text


def _network(text: str) -> str:
    """A CIDR without host bits: `10.0.0.5/8` is a slip more often than a wish."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refuse("must be a network in CIDR notation, such as 203.0.113.0/24") from None
    if str(network) != text:
        raise refuse("must be a network in CIDR notation", str(network))
    return text


Region = Annotated[
    str,
    AfterValidator(_region),
    WithJsonSchema({"type": "string", "enum": list(REGIONS)}),
]
OptionalRegion = Annotated[
    str, AfterValidator(lambda text: text and _region(text)), WithJsonSchema({"type": "string", "enum": ["", *REGIONS]})
]
Cidr = Annotated[str, AfterValidator(_network)]
PriceKey = Annotated[
    str,
    Written(
        r"([a-z]{2,4}(-[a-z]+)+-[0-9]+/)?(gp2|gp3|ipv4|load_balancer|load_balancer_unit|database_storage|snapshot|logs|logs_kept"
        r"|lambda|lambda_gib_s|traffic|(db\.)?[a-z][a-z0-9-]*\.[a-z0-9-]+)",
        "must be an instance type, gp3, ipv4 or another part that `lablink costs` names, after a region and a slash or alone",
    ),
]
