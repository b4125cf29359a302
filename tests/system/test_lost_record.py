"""VMs that no record has: of a database that is lost with the states, or of the older system. Nobody at work notices."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import boto3
import psycopg
import pytest

from sandbox import postgres
from schemas.token import assignment_tag
from store.assignment import Claim, bind_waiting, read_errands, release_vm, request_seats
from store.db import open_db, transaction
from tests.system.lab import REGION, ROOT, Lab, open_lab

CLAIM = Claim(pool="client", email="ada@example.org", crd_code="4/first", drawn_pin="111111")


@pytest.fixture
def lab(dsn: str, tmp_path: Path) -> Iterator[Lab]:
    with open_lab(dsn, tmp_path) as lab:
        yield lab


def give(lab: Lab) -> dict[str, Any]:
    """Ada asks, and gets one of the VMs, both of which have called."""

    async def ask() -> None:
        async with open_db(lab.dsn) as db, transaction(db) as conn:
            await conn.execute("UPDATE seat SET state = 'free', free_since = now()")
            await conn.execute("UPDATE vm SET ready_at = now()")
            await request_seats(conn, [CLAIM])
            assert len(await bind_waiting(conn, "client")) == 1

    anyio.run(ask)
    return lab.row("SELECT id, hostname, email FROM assignment WHERE status = 'active'")


def tags(lab: Lab) -> dict[str, str]:
    """The tag lablink:assignment by host name, of those that have one."""
    ec2 = boto3.client("ec2", REGION, endpoint_url=lab.aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    told = [{tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found]
    return {one["lablink:hostname"]: one["lablink:assignment"] for one in told if "lablink:assignment" in one}


def ids(lab: Lab) -> dict[str, str]:
    return {
        r["hostname"]: r["instance_id"] for r in lab.rows("SELECT hostname, instance_id FROM vm WHERE phase = 'live'")
    }


def adopt(lab: Lab, *more: str, word: str = "adopt") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lablink", word, "--file", str(lab.file), "--yes", *more]
    return subprocess.run(
        command, cwd=ROOT, env=lab.environment, capture_output=True, text=True, timeout=60, check=False
    )


def lose_everything(lab: Lab, dsn: str) -> None:
    """A new, empty record, and none of the working copies."""
    lab.stop_controllers()
    lab.dsn = lab.environment["LABLINK_DATABASE_DSN"] = dsn
    lab.environment["LABLINK_WORK_DIR"] = str(lab.folder / "work-anew")


@pytest.fixture
def empty_record(postgres_server: str) -> Iterator[str]:
    made = postgres.create_database(postgres_server, "test_anew", template="lablink_template")
    with psycopg.connect(made) as conn:  # the template's are older, and everybody's
        conn.execute("UPDATE deployment SET id = gen_random_uuid(), created_at = now()")
    yield made
    postgres.drop_database(postgres_server, "test_anew")


def test_tags_alone_are_enough_to_go_on(lab: Lab, empty_record: str) -> None:
    lab.declare(2)
    lab.start_controller()
    lab.wait_for_size(2)
    given, before, instances = give(lab), ids(lab), lab.instances()
    secret = lab.environment["LABLINK_DEPLOYMENT_SECRET"].encode()
    lab.wait("the tag", lambda: tags(lab) == {given["hostname"]: assignment_tag(secret, given["id"], given["email"])})
    assert "ada@" not in str(tags(lab))
    refused = adopt(lab)
    assert (refused.returncode, "2 VMs of its own" in refused.stderr) == (1, True)

    lose_everything(lab, empty_record)
    lab.start_controller()
    lab.wait("that it only looks", lambda: lab.deployment_condition("ObserveOnly").get("reason") == "OtherDeployment")
    assert lab.rows("SELECT FROM run") == []
    done = adopt(lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 VMs (1 in use)" in done.stdout
    lab.wait_for_size(2)
    assert (ids(lab), lab.instances()) == (before, instances)
    (seat,) = lab.rows("SELECT hostname, assignment_id FROM seat WHERE state = 'taken'")
    assert seat == {"hostname": given["hostname"], "assignment_id": given["id"]}
    assert tags(lab).keys() == {given["hostname"]}
    assert lab.rows("SELECT FROM vm WHERE phase <> 'live'") == [], lab.story()  # not even planned and dropped
    assert lab.row("SELECT counter FROM pool")["counter"] >= 1002
    check_who_it_was_is_known_again(lab, given)


def check_who_it_was_is_known_again(lab: Lab, given: dict[str, Any]) -> None:
    """By the cookie that names the assignment; before, its VM is told nothing, and afterwards the fresh command."""

    async def come_back() -> list[str | None]:
        async with open_db(lab.dsn) as db, transaction(db) as conn:
            (silent,) = await read_errands(conn, [given["hostname"]])
            back = Claim("client", "ada@example.org", "4/second", "222222", proven=given["id"])
            seated = await request_seats(conn, [back])
            assert seated["ada@example.org"].id == given["id"]
            (told,) = await read_errands(conn, [given["hostname"]])
            return [silent.crd_code, told.crd_code, told.pin]

    assert anyio.run(come_back) == [None, "4/second", "222222"]

    async def release() -> None:
        async with open_db(lab.dsn) as db, transaction(db) as conn:
            await release_vm(conn, "client", given["hostname"], "admin", "done")

    anyio.run(release)
    lab.wait("a clean VM in its place", lambda: given["hostname"] not in lab.present() and len(lab.live()) == 2)
    assert tags(lab).keys() <= {given["hostname"]}


def test_vms_of_the_older_system_are_taken_over_as_they_are(lab: Lab) -> None:
    ec2 = boto3.client("ec2", REGION, endpoint_url=lab.aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    for name in ("lablink-vm-lab-1", "lablink-vm-lab-x", "lablink-vm-other-1"):
        ec2.run_instances(
            ImageId="ami-0601752c11b394251", InstanceType="t3.large", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
        )  # fmt: skip
    lab.declare(0)
    lab.start_controller()
    lab.wait("the first look", lambda: lab.deployment_condition("CloudReachable").get("status"))
    assert "no pool desktop" in adopt(lab, "lab", "--pool", "desktop", word="adopt-older").stderr
    done = adopt(lab, "lab", "--pool", "client", word="adopt-older")
    assert (done.returncode, "lablink-vm-lab-1: tagged" in done.stdout) == (0, True), done.stderr
    lab.wait("its row and its state", lambda: lab.live() == ["lablink-vm-lab-1"])
    (seat,) = lab.rows("SELECT state, hostname FROM seat")
    assert seat == {"state": "taken", "hostname": "lablink-vm-lab-1"}
    assert lab.rows("SELECT FROM run WHERE creates > 0 AND state_key NOT LIKE '%/base'") == []
    states = [i["State"]["Name"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    assert states == ["running"] * 3
    assert "no VM lablink-vm-lab-N" in adopt(lab, "lab", "--pool", "client", word="adopt-older").stderr
