"""States in S3, locked by a file or in DynamoDB: one initialisation a module, dead locks released, live ones respected."""

import getpass
import json
import re
import socket
from dataclasses import replace
from typing import Any

import boto3
import pytest

from controller import apply, s3_states
from controller.ec2 import Ec2
from controller.errors import NeedsOperator
from schemas.document import parse_lab
from tests.terraform.actuation_world import PATIENT, POOL, REGION, TEXT, ActuationWorld

pytestmark = pytest.mark.anyio

BASE = f"{POOL}.{REGION}.base"
SHARD = f"{POOL}.{REGION}.1"
INFO = {"ID": "theirs", "Operation": "OperationTypeApply", "Who": "someone@desk", "Version": "1.11.4", "Path": "x"}


class States:
    """The bucket and the lock table, as a person with boto3 sees them."""

    def __init__(self, world: ActuationWorld, lock: str) -> None:
        self._world, self._deployment = world, world.lab.deployment
        self.bucket, self.table = f"{self._deployment}-states", f"{self._deployment}-lock-dev"
        self.s3, self._dynamodb = self._client("s3"), self._client("dynamodb")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        text = TEXT.format(name=self._deployment, backend=f"s3, bucket: {self.bucket}, lock: {lock}")
        world.lab = parse_lab(text).lab
        self._by_table = lock == "dynamodb"

    def _client(self, service: Any) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        make: Any = boto3.client
        return make(service, endpoint_url=self._world.aws.url, region_name=REGION, **keys)

    def path(self, workspace: str) -> str:
        return f"{self._deployment}/dev/clients/{workspace}/terraform.tfstate"

    def names(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return sorted(entry["Key"].split("/")[-2] for entry in listed if entry["Key"].endswith(".tfstate"))

    def lock(self, workspace: str, who: str) -> None:
        text = json.dumps({**INFO, "Who": who})
        if self._by_table:
            item = {"LockID": {"S": f"{self.bucket}/{self.path(workspace)}"}, "Info": {"S": text}}
            self._dynamodb.put_item(TableName=self.table, Item=item)
        else:
            self.s3.put_object(Bucket=self.bucket, Key=f"{self.path(workspace)}.tflock", Body=text)

    def read_resources(self, workspace: str) -> int:
        body = self.s3.get_object(Bucket=self.bucket, Key=self.path(workspace))["Body"].read()
        return sum(len(resource["instances"]) for resource in json.loads(body)["resources"])


@pytest.mark.parametrize("lock", ["s3", "dynamodb"])
async def test_states_lie_in_s3_and_each_shard_has_its_own(world: ActuationWorld, lock: str) -> None:
    states = States(world, lock)
    names = await world.plan_vms(1, shard=1) + await world.plan_vms(1, shard=2)
    await world.settle()
    assert await world.running() == sorted(names)
    assert states.names() == sorted([BASE, SHARD, f"{POOL}.{REGION}.2"])
    assert all(vm.in_state for vm in await world.vms())
    await world.drain(names[0])
    await world.settle()
    assert (await world.running(), states.read_resources(SHARD)) == (names[1:], 0)


@pytest.mark.parametrize("lock", ["s3", "dynamodb"])
async def test_the_lock_of_a_dead_run_is_released_and_anybody_elses_is_not(world: ActuationWorld, lock: str) -> None:
    states = States(world, lock)
    await world.plan_vms(1)
    await world.settle()
    states.lock(SHARD, "someone@desk")
    await world.plan_vms(1)
    with pytest.raises(NeedsOperator, match=f"TF_WORKSPACE={SHARD} .*force-unlock"):
        await world.actuate()
    assert len(await world.running()) == 1

    states.lock(SHARD, f"{getpass.getuser()}@{socket.gethostname()}")
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome = 'failed'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")
    await world.settle()
    assert len(await world.running()) == 2


@pytest.mark.parametrize("lock", ["s3", "dynamodb"])
async def test_a_lock_of_our_own_that_terraform_meets_calls_nobody(
    world: ActuationWorld, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a lock that AWS has taken, but whose answer was lost, twice in a row: Terraform asks again, and meets itself."""
    states = States(world, lock)
    world.actuator = replace(world.actuator, terraform=replace(world.actuator.terraform, pace=PATIENT))
    look = s3_states.release_dead_s3_lock
    released = []

    async def look_too_early(ec2: Ec2, bucket: s3_states.StateBucket, state_key: str) -> bool:
        released.append(await look(ec2, bucket, state_key))
        if released[-2:] != [True, True]:
            states.lock(s3_states.workspace_of(state_key), f"{getpass.getuser()}@{socket.gethostname()}")
        return released[-1]

    monkeypatch.setattr(apply, "release_dead_s3_lock", look_too_early)
    await world.plan_vms(1)
    await world.settle()
    await world.plan_vms(1)  # in a state that is there by now, of which Terraform says it in other words
    await world.settle()
    assert len(await world.running()) == 2
    told = "".join("released " if one else "looked " for one in released)
    # On a busy machine answers are lost by themselves, too.
    assert re.fullmatch("(looked released released (released )?){3}", told)
    assert {run["outcome"] for run in await world.runs()} == {"succeeded"}
