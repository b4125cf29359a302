"""Tags say whose a VM is: written once a change, never with an address, and read back where the record has forgotten."""

import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest

from controller.ec2 import Ec2
from controller.observe import observe_region
from controller.tags import keep_tags
from controller.world import World
from sandbox.aws import RunningAws, start_aws
from schemas.token import assignment_tag
from store.assignment_tag import reread_assignments
from store.db import fetch, fetch_one, open_db, transaction
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

REGION, HOST = "us-west-2", "lablink-client-dev-1"
DIGEST = "0" * 32


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with start_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@dataclass(frozen=True)
class Scene:
    """One live VM with its instance."""

    world: World
    aws: RunningAws
    instance_id: str
    calls_before: int

    async def run(self, sql: str, *params: Any) -> None:
        async with self.world.db.connection() as conn:
            await conn.execute(sql, params)

    async def seat(self) -> dict[str, Any]:
        async with self.world.db.connection() as conn:
            row = await fetch_one(conn, "SELECT state, assignment_id FROM seat")
        assert row
        return row

    async def assignment(self) -> dict[str, Any]:
        async with self.world.db.connection() as conn:
            row = await fetch_one(conn, "SELECT id, email, status, hostname FROM assignment")
        assert row
        return row

    def tag(self) -> str | None:
        answer = client(self.aws).describe_instances(InstanceIds=[self.instance_id])
        (found,) = (i for r in answer["Reservations"] for i in r["Instances"])
        return {tag["Key"]: tag["Value"] for tag in found["Tags"]}.get("lablink:assignment")

    def calls(self) -> int:
        """About tags, since this VM was made."""
        return tag_calls(self.aws) - self.calls_before

    async def seated(self, status: str, hostname: str | None = HOST) -> UUID:
        """Ada's assignment, and the seat where it is held for her or given to her."""
        made = uuid4()
        await self.run(
            "INSERT INTO assignment (id, pool, email, status, hostname, crd_code, pin) VALUES (%s, 'client', 'a@b.c', %s, %s, 'c', '1')",
            made, status, hostname,
        )  # fmt: skip
        if hostname and status != "ended":
            await self.run("UPDATE seat SET state = 'taken', assignment_id = %s", made)
        return made

    async def reread(self, tag: str) -> list[str]:
        await self.run("UPDATE instance SET assignment = %s", tag)
        async with transaction(self.world.db) as conn:
            return await reread_assignments(conn)


def tag_calls(aws: RunningAws) -> int:
    with urllib.request.urlopen(f"{aws.fault_url}/calls") as answer:
        found = json.load(answer)
    return int(found.get("CreateTags", 0)) + int(found.get("DeleteTags", 0))


def client(aws: RunningAws) -> Any:
    return boto3.client("ec2", REGION, endpoint_url=aws.url, aws_access_key_id="t", aws_secret_access_key="t")


@pytest.fixture
async def scene(dsn: str, tmp_path: Path, aws: RunningAws) -> AsyncIterator[Scene]:
    async with open_db(dsn) as db:
        world = await lead_world(db, dsn, tmp_path / "lablink.yaml", Ec2(aws.url, "test", "test"))
        world.sight.observe_only = None
        mine = uuid4()  # the template's is everybody's
        async with db.connection() as conn:
            await conn.execute("UPDATE deployment SET id = %s", (mine,))
        tags = [{"Key": "lablink:deployment-id", "Value": str(mine)}, {"Key": "lablink:hostname", "Value": HOST}]
        (made,) = client(aws).run_instances(
            ImageId="ami-0601752c11b394251", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )["Instances"]  # fmt: skip
        scene = Scene(world, aws, made["InstanceId"], tag_calls(aws))
        await scene.run("INSERT INTO pool (name) VALUES ('client')")
        await scene.run(
            "INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, instance_id)"
            " VALUES (%s, 'client', %s, 1, 1, '', '{}', 'live', %s)",
            HOST, REGION, scene.instance_id,
        )  # fmt: skip
        await scene.run("INSERT INTO seat (hostname, pool) VALUES (%s, 'client')", HOST)
        await observe_region(world, REGION)
        yield scene


async def test_a_tag_is_written_once_and_goes_with_the_assignment(scene: Scene) -> None:
    given = await scene.seated("active")
    await keep_tags(scene.world)
    assert scene.tag() == assignment_tag(b"secret", given, "a@b.c")
    calls = scene.calls()
    await observe_region(scene.world, REGION)
    await keep_tags(scene.world)
    assert scene.calls() == calls
    await scene.run("UPDATE assignment SET status = 'ended'")
    await scene.run("UPDATE seat SET state = 'draining', assignment_id = NULL")
    await keep_tags(scene.world)
    assert scene.tag() is None
    await keep_tags(scene.world)
    assert scene.calls() == calls + 1


@pytest.mark.parametrize("why", ["only looking", "paused"])
async def test_nothing_is_written_where_nothing_may_be_done(scene: Scene, why: str) -> None:
    await scene.seated("active")
    if why == "paused":
        document = json.dumps({"pools": {"client": {"paused": True}}})
        await scene.run(
            "INSERT INTO desired_version (version, author, source, yaml, document) VALUES (1, 'a', 'api', '', %s)",
            document,
        )
    else:
        scene.world.sight.observe_only = "another account"
    await keep_tags(scene.world)
    assert (scene.tag(), scene.calls()) == (None, 0)


async def test_a_person_whom_only_the_tag_knows_keeps_the_seat(scene: Scene) -> None:
    given = uuid4()
    assert await scene.reread(f"{given}:{DIGEST}") == [HOST]
    assert await scene.seat() == {"state": "taken", "assignment_id": given}
    assert (await scene.assignment())["email"] == f"unknown-{given}@lablink.invalid"
    await keep_tags(scene.world)
    assert scene.calls() == 0  # what the tag says is not written over
    async with scene.world.db.connection() as conn:
        assert len(await fetch(conn, "SELECT FROM event WHERE reason = 'Assigned'")) == 1


async def test_who_was_in_line_at_the_backup_has_a_vm_now(scene: Scene) -> None:
    given = await scene.seated("waiting", None)
    assert await scene.reread(f"{given}:{DIGEST}") == [HOST]
    assert await scene.assignment() == {"id": given, "email": "a@b.c", "status": "active", "hostname": HOST}


async def test_an_offer_at_the_backup_was_accepted(scene: Scene) -> None:
    given = await scene.seated("offered")
    assert await scene.reread(f"{given}:{DIGEST}") == [HOST]
    assert (await scene.assignment())["status"] == "active"
    assert await scene.seat() == {"state": "taken", "assignment_id": given}


async def test_a_tag_that_is_none_of_ours_says_nothing(scene: Scene) -> None:
    for tag in ("", "x", "../../etc:0", f"{uuid4()}", f"{uuid4()}:{DIGEST}'; DROP TABLE vm", f"{uuid4()}:"):
        assert await scene.reread(tag) == []
    assert (await scene.seat())["state"] == "closed"


async def test_an_assignment_that_has_ended_stays_ended(scene: Scene) -> None:
    given = await scene.seated("ended")
    assert await scene.reread(f"{given}:{DIGEST}") == []
    assert (await scene.seat())["state"] == "closed"
