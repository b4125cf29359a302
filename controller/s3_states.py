"""Terraform's states in S3: the backend's text, which object holds a state, and its lock, by a file beside it or in DynamoDB.

One initialised module serves all of its states, because each is a workspace of one backend. Used by actuation and `lablink infra`.
https://developer.hashicorp.com/terraform/language/backend/s3
"""

import getpass
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from botocore.exceptions import ClientError

from controller.ec2 import Ec2
from schemas.lab import Lab

log = structlog.get_logger()

ABSENT = ("NoSuchKey", "404")
STATE = "terraform.tfstate"


@dataclass(frozen=True, slots=True)
class StateBucket:
    """Where the states of a deployment's client tier lie."""

    name: str
    region: str
    prefix: str
    lock_table: str  # "": a lock file beside the state
    path_style: bool  # an S3 that is not AWS's has no host name a bucket

    def render(self) -> str:
        """The text of backend.tf."""
        return render_s3_backend(self, {"workspace_key_prefix": self.prefix, "key": STATE})

    def grant(self, state_key: str) -> dict[str, str]:
        """The environment that leads Terraform to one state."""
        return {"TF_WORKSPACE": workspace_of(state_key)}

    def object_of(self, state_key: str) -> str:
        return f"{self.prefix}/{workspace_of(state_key)}/{STATE}"


def workspace_of(state_key: str) -> str:
    """No name of a pool or region has a dot, and a workspace's may have no slash."""
    return state_key.replace("/", ".")


def find_bucket(lab: Lab, environ: Mapping[str, str]) -> StateBucket | None:
    """None: the document keeps its states elsewhere."""
    if lab.state.backend != "s3":
        return None
    return StateBucket(
        name=lab.state.bucket,
        region=lab.region,
        prefix=f"{lab.deployment}/{lab.environment}/clients",
        lock_table=f"{lab.deployment}-lock-{lab.environment}" if lab.state.lock == "dynamodb" else "",
        path_style=any(environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")),
    )


def render_s3_backend(bucket: StateBucket, place: Mapping[str, str]) -> str:
    lock: dict[str, object] = {"dynamodb_table": bucket.lock_table} if bucket.lock_table else {"use_lockfile": True}
    style = {"use_path_style": True} if bucket.path_style else {}
    settings = {"bucket": bucket.name, "region": bucket.region, "encrypt": True, **place, **lock, **style}
    lines = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in settings.items())
    return f'terraform {{\n  backend "s3" {{\n{lines}  }}\n}}\n'


async def read_s3_state(ec2: Ec2, bucket: StateBucket, state_key: str) -> bytes | None:
    """The state's JSON, or None when there is none. CloudError when S3 does not answer."""

    def read(s3: Any) -> bytes | None:
        return _read_object(s3, bucket, bucket.object_of(state_key))

    return await ec2.use("s3", bucket.region, f"reading the state {state_key} in {bucket.name}", read)


async def release_dead_s3_lock(ec2: Ec2, bucket: StateBucket, state_key: str) -> bool:
    """A lock that this machine's user took belongs to a run of ours, and the caller knows that all of them have surely ended.

    Anybody else's stays: Terraform refuses then, and a person is called. Whether one was released; CloudError when AWS does not answer.
    """
    service = "dynamodb" if bucket.lock_table else "s3"
    info = await ec2.use(service, bucket.region, f"reading the lock of {state_key}", _lock_reader(bucket, state_key))
    if info.get("Who") != f"{getpass.getuser()}@{socket.gethostname()}":
        return False
    log.info("releasing the lock of a run that has ended", state=state_key, lock=info.get("ID"))
    await ec2.use(service, bucket.region, f"releasing the lock of {state_key}", _lock_remover(bucket, state_key))
    return True


def _lock_reader(bucket: StateBucket, state_key: str) -> Callable[[Any], dict[str, Any]]:
    """What Terraform wrote into the lock: ID, Who, Operation …; empty when there is none."""
    key = bucket.object_of(state_key)

    def from_table(dynamodb: Any) -> dict[str, Any]:
        item = dynamodb.get_item(TableName=bucket.lock_table, Key=_lock_id(bucket, key), ConsistentRead=True).get(
            "Item"
        )
        return dict(json.loads(item["Info"]["S"])) if item else {}

    def from_file(s3: Any) -> dict[str, Any]:
        text = _read_object(s3, bucket, f"{key}.tflock")
        return dict(json.loads(text)) if text else {}

    return from_table if bucket.lock_table else from_file


def _lock_remover(bucket: StateBucket, state_key: str) -> Callable[[Any], None]:
    key = bucket.object_of(state_key)

    def from_table(dynamodb: Any) -> None:
        dynamodb.delete_item(TableName=bucket.lock_table, Key=_lock_id(bucket, key))

    def from_file(s3: Any) -> None:
        s3.delete_object(Bucket=bucket.name, Key=f"{key}.tflock")

    return from_table if bucket.lock_table else from_file


def _lock_id(bucket: StateBucket, key: str) -> dict[str, dict[str, str]]:
    return {"LockID": {"S": f"{bucket.name}/{key}"}}


def _read_object(s3: Any, bucket: StateBucket, key: str) -> bytes | None:
    try:
        content: bytes = s3.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ABSENT:
            return None
        raise
    return content
