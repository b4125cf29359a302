"""What the controller cannot see or ask is a condition with a sentence, holds back nobody else, and is forgotten with its cause."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from controller.amis import resolve_pool
from controller.desired import sync_desired
from controller.ec2 import Ec2
from controller.errors import RetryLater
from controller.observe import observe_cloud
from controller.world import World
from sandbox.aws import RunningAws, start_aws
from store.db import fetch, open_db
from store.deployment import Deployment, read_deployment
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

NOWHERE = Ec2("http://127.0.0.1:9", "test", "test")
POOL = "pools:\n  client:\n    size: 1\n    region: {}\n    ami: {}\n"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[RunningAws]:
    with start_aws(tmp_path / "aws") as aws:
        yield aws


async def declare(world: World, text: str) -> None:
    """The version in force is this text."""
    path = world.settings.desired_file
    assert path
    path.write_text(text)
    os.utime(path, (0, 0))  # written long ago, so surely whole
    await sync_desired(world)


async def read(world: World) -> Deployment:
    async with world.db.connection() as conn:
        return await read_deployment(conn)


async def test_a_region_that_does_not_answer_is_said_and_forgotten_when_no_pool_is_there(
    dsn: str, tmp_path: Path, aws: RunningAws
) -> None:
    async with open_db(dsn) as db:
        woken: list[tuple[str, str]] = []
        world = await lead_world(db, dsn, tmp_path / "lablink.yaml", NOWHERE)
        world = replace(world, wake=lambda channel, key: woken.append((channel, key)))
        await declare(world, POOL.format("eu-west-1", "ami-0601752c11b394251"))
        await observe_cloud(world, "")
        assert ("look", "eu-west-1") in woken
        await observe_cloud(world, "eu-west-1")
        conditions = (await read(world)).conditions
        assert "could not be checked" in conditions["ObserveOnly"].message
        assert conditions["CloudReachable"].status is False
        assert "eu-west-1" in conditions["CloudReachable"].message
        world = replace(world, ec2=Ec2(aws.url, "test", "test"))
        await declare(world, POOL.format("us-west-2", "ami-0601752c11b394251"))
        async with db.connection() as conn:
            assert [row["region"] for row in await fetch(conn, "SELECT region FROM base")] == ["us-west-2"]
        await observe_cloud(world, "")
        await observe_cloud(world, "us-west-2")
        conditions = (await read(world)).conditions
        assert (conditions["ObserveOnly"].status, conditions["CloudReachable"].status) == (False, True)
        assert world.sight.observe_only is None
        assert set(world.sight.listings) == {"us-west-2"}


async def test_an_ami_parameter_is_asked_for_beside_the_loop_and_anew_in_another_region(
    dsn: str, tmp_path: Path, aws: RunningAws
) -> None:
    async with open_db(dsn) as db:
        world = await lead_world(db, dsn, tmp_path / "lablink.yaml", NOWHERE)
        await declare(world, POOL.format("us-west-2", "/lab/image"))
        with pytest.raises(RetryLater):
            await resolve_pool(world, "client")
        (pool,) = await read_pools(world)
        assert (pool["ami"], pool["trouble"]["status"]) == (None, True)
        assert "/lab/image" in pool["trouble"]["message"]
        for region, ami in (("us-west-2", "ami-0000000000000000a"), ("us-east-1", "ami-0000000000000000b")):
            put_parameter(aws, region, ami)
        world = replace(world, ec2=Ec2(aws.url, "test", "test"))
        await resolve_pool(world, "client")
        (pool,) = await read_pools(world)
        assert (pool["ami"], pool["trouble"]["status"]) == ("ami-0000000000000000a", False)
        await declare(world, POOL.format("us-east-1", "/lab/image"))
        assert (await read_pools(world))[0]["ami"] is None
        await resolve_pool(world, "client")
        assert (await read_pools(world))[0]["ami"] == "ami-0000000000000000b"


async def read_pools(world: World) -> list[dict[str, Any]]:
    async with world.db.connection() as conn:
        return await fetch(conn, "SELECT ami, conditions->'AmiUnreadable' AS trouble FROM pool")


def put_parameter(aws: RunningAws, region: str, ami: str) -> None:
    ssm = boto3.client("ssm", region, endpoint_url=aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    ssm.put_parameter(Name="/lab/image", Value=ami, Type="String")


async def test_instances_of_another_deployment_of_the_same_name_forbid_everything_until_they_are_gone(
    dsn: str, tmp_path: Path, aws: RunningAws
) -> None:
    ec2 = boto3.client("ec2", "us-west-2", endpoint_url=aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    tags = {"lablink:deployment": "lablink", "lablink:environment": "dev", "lablink:deployment-id": "another"}
    tag_list: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
    made = ec2.run_instances(
        ImageId="ami-0601752c11b394251", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tag_list}],
    )  # fmt: skip
    async with open_db(dsn) as db:
        world = await lead_world(db, dsn, tmp_path / "lablink.yaml", Ec2(aws.url, "test", "test"))
        await declare(world, POOL.format("us-west-2", "ami-0601752c11b394251"))
        await observe_cloud(world, "")
        barred = (await read(world)).conditions["ObserveOnly"]
        assert (barred.status, barred.reason) == (True, "OtherDeployment")
        assert world.sight.observe_only == barred.message
        ec2.terminate_instances(InstanceIds=[made["Instances"][0]["InstanceId"]])
        await observe_cloud(world, "")
        assert world.sight.observe_only is None
        assert not (await read(world)).conditions["ObserveOnly"].status
