"""The instances in AWS that carry a deployment's names, whichever record they are of. Asked by `lablink restore` and `adopt`."""

from dataclasses import dataclass
from typing import Any

from schemas.lab import Lab

ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True, slots=True)
class Named:
    """`record` is the UUID of the record that made it, "" when it has none."""

    instance_id: str
    region: str
    state: str
    record: str
    pool: str
    hostname: str
    assigned: bool

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    @property
    def number(self) -> int:
        digits = self.hostname.rpartition("-")[2]
        return int(digits) if digits.isdecimal() else 0


def list_named(lab: Lab) -> list[Named]:
    """Of all regions that the document names, in every state; AWS forgets ended ones after an hour."""
    import boto3  # noqa: PLC0415 - a second that no other command waits for

    make: Any = boto3.client
    filters = [
        {"Name": "tag:lablink:deployment", "Values": [lab.deployment]},
        {"Name": "tag:lablink:environment", "Values": [lab.environment]},
    ]
    found = []
    for region in sorted({pool.region for pool in lab.pools.values()}):
        pages = make("ec2", region_name=region).get_paginator("describe_instances").paginate(Filters=filters)
        found += [_read(raw, region) for page in pages for r in page["Reservations"] for raw in r["Instances"]]
    return found


def _read(raw: dict[str, Any], region: str) -> Named:
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])}
    return Named(
        instance_id=raw["InstanceId"],
        region=region,
        state=raw["State"]["Name"],
        record=tags.get("lablink:deployment-id", ""),
        pool=tags.get("lablink:pool", ""),
        hostname=tags.get("lablink:hostname", ""),
        assigned="lablink:assignment" in tags,
    )


def find_highest(instances: list[Named]) -> dict[str, int]:
    """By pool, the highest number of a host name: names are never used twice."""
    highest: dict[str, int] = {}
    for one in instances:
        if one.pool and one.number:
            highest[one.pool] = max(highest.get(one.pool, 0), one.number)
    return highest
