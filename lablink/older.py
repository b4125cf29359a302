"""`lablink adopt-older`: VMs of the older system, which knows them by their tag `Name` alone, get this deployment's tags.

The controller then adopts them as it does all VMs that their tags explain: a row, an import into a state, no replacement.
"""

import re
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import psycopg
import typer
from botocore.exceptions import BotoCoreError, ClientError

from lablink.desired import DEFAULT_FILE, read_document
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.named_instances import ALIVE
from lablink.output import print_json, print_line
from lablink.programs import read_settings
from schemas.lab import Lab
from schemas.token import assignment_tag
from store.adopted import read_own


def adopt_older(
    suffix: Annotated[str, typer.Argument(help="Of its names: lablink-vm-SUFFIX-1, lablink-vm-SUFFIX-2 …")],
    pool: Annotated[str, typer.Option(help="The declared pool that they are to belong to.")],
    *,
    file: Annotated[Path, typer.Option(help="What should exist.")] = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take over the running VMs of the older system without replacing them.

    Each counts as in use, because nothing in AWS says whether it is: `lablink release VM` gives free those that nobody has. They
    call the address that they were made with, so give this allocator that name, and declare `vm_auth: hostname`.
    """
    lab = read_document(file).lab
    if pool not in lab.pools:
        raise Failed(f"The document declares no pool {pool}: {', '.join(lab.pools) or 'none'}.")
    settings = read_settings()
    try:
        found = _find(lab.pools[pool].region, suffix)
        if not found:
            raise Failed(
                f"AWS lists no VM lablink-vm-{suffix}-N in {lab.pools[pool].region} that carries no other tags of LabLink."
            )
        if not yes and not typer.confirm(f"Take {len(found)} VMs over into pool {pool}?", err=True):
            raise Failed("Nothing was changed.")
        with psycopg.connect(settings.database_dsn) as conn:
            own, _ = read_own(conn)
        secret = settings.deployment_secret.get_secret_value().encode()
        for instance_id, name in found.items():
            _ec2(lab.pools[pool].region).create_tags(Resources=[instance_id], Tags=_tags(lab, own, pool, name, secret))
    except (psycopg.Error, ClientError, BotoCoreError) as error:
        raise Failed(f"Not all were taken over; call it again: {' '.join(str(error).split())}") from None
    names = sorted(found.values())
    if as_json:
        print_json({"adopted": names})
    else:
        print_line(
            f"{', '.join(names)}: tagged as VMs of pool {pool}; within a minute `lablink vms` shows them, in use.",
            "green",
        )


def _find(region: str, suffix: str) -> dict[str, str]:
    """Host names by instance id."""
    name = re.compile(rf"lablink-vm-{re.escape(suffix)}-[0-9]+")
    filters = [
        {"Name": "tag:Name", "Values": [f"lablink-vm-{suffix}-*"]},
        {"Name": "instance-state-name", "Values": list(ALIVE)},
    ]
    pages = _ec2(region).get_paginator("describe_instances").paginate(Filters=filters)
    found = {}
    for raw in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
        tags = {tag["Key"]: tag["Value"] for tag in raw["Tags"]}
        if name.fullmatch(tags["Name"]) and "lablink:deployment" not in tags:
            found[str(raw["InstanceId"])] = tags["Name"]
    return found


def _tags(lab: Lab, own: UUID, pool: str, name: str, secret: bytes) -> list[dict[str, str]]:
    tags = {
        "lablink:deployment": lab.deployment,
        "lablink:deployment-id": str(own),
        "lablink:environment": lab.environment,
        "lablink:pool": pool,
        "lablink:hostname": name,
        "lablink:generation": "0",
        "lablink:assignment": assignment_tag(secret, uuid4(), ""),  # somebody's, whoever it is
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _ec2(region: str) -> Any:
    import boto3  # noqa: PLC0415 - a second that no other command waits for

    make: Any = boto3.client
    return make("ec2", region_name=region)
