"""The simulated client VMs on real instances of moto, talking to a real HTTP server."""

import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import boto3
import httpx
import pytest

from log_lambda.handler import handler
from sandbox.aws import RunningAws, start_aws
from sandbox.client_vm import read_user_data
from sandbox.clients import Place, run_clients
from sandbox.logpump import LogPump
from sandbox.options import BootSeconds
from tests.system.allocator import Allocator, serving

pytestmark = pytest.mark.anyio
REGION = "us-west-2"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with start_aws(tmp_path_factory.mktemp("aws"), region=REGION) as running:
        yield running


def boto(aws: RunningAws, name: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(name, endpoint_url=aws.url, region_name=REGION, **keys)  # type: ignore[call-overload]


@pytest.fixture(autouse=True)
def _clean(aws: RunningAws) -> Iterator[None]:
    yield
    httpx.delete(f"{aws.fault_url}/faults")
    ec2 = boto(aws, "ec2")
    running = [s["InstanceId"] for s in ec2.describe_instance_status()["InstanceStatuses"]]
    if running:
        ec2.terminate_instances(InstanceIds=running)


def launch(aws: RunningAws, hostname: str) -> str:
    """An instance as Terraform makes it: named by a tag, its environment in gzipped user data."""
    environment = {
        "ALLOCATOR_URL": "http://127.0.0.1:1",
        "VM_NAME": hostname,
        "API_TOKEN": f"token-of-{hostname}",
        "SUBJECT_SOFTWARE": "sleap",
        "CLOUD_INIT_LOG_GROUP": "lablink-cloud-init-dev",
        "AWS_REGION": REGION,
        "LABLINK_GPU": "true",
    }
    lines = "".join(f"{name}={value}\n" for name, value in environment.items())
    script = f"#!/bin/bash\ncat >client.env <<'LABLINK_ENV'\n{lines}LABLINK_ENV\n"
    made = boto(aws, "ec2").run_instances(
        ImageId="ami-0601752c11b394251",
        InstanceType="g4dn.xlarge",
        MinCount=1,
        MaxCount=1,
        UserData=gzip.compress(script.encode()),
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "lablink:hostname", "Value": hostname}]}],
    )
    return str(made["Instances"][0]["InstanceId"])


@asynccontextmanager
async def running(aws: RunningAws, allocator: Allocator, kept: Path, boot_s: float = 0.4) -> AsyncIterator[None]:
    place = Place(allocator.url, aws.fault_url, kept, BootSeconds(boot_s, boot_s))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_clients, place, boto(aws, "ec2"), boto(aws, "logs"))
        yield
        tasks.cancel_scope.cancel()


async def eventually(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not holds():
            await anyio.sleep(0.05)


async def fault(aws: RunningAws, **what: Any) -> None:
    async with httpx.AsyncClient() as http:
        (await http.post(f"{aws.fault_url}/faults", json=what)).raise_for_status()


async def test_a_new_vm_boots_reports_and_waits_for_its_user(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-1")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-1" in allocator.holding)
        await eventually(lambda: bool(allocator.said("/api/v1/client/vm-1/heartbeat", "vm-1")))
    assert [body["status"] for body in allocator.said("/api/vm-status", "vm-1")] == ["initializing", "running"]
    times = allocator.said("/api/vm-metrics/vm-1", "vm-1")[0]
    assert times["cloud_init_duration_seconds"] > times["container_startup_duration_seconds"] > 0
    assert allocator.said("/api/gpu_health", "vm-1")[0]["gpu_status"] == "Healthy"
    assert allocator.said("/api/update_inuse_status", "vm-1")[0]["status"] is False
    assert allocator.tokens == {"Bearer token-of-vm-1"}


async def test_an_assigned_vm_takes_its_command_and_says_so(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-2")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-2" in allocator.holding)
        allocator.versions["vm-2"] = 1
        await eventually(lambda: delivered(allocator, "vm-2") == 1)
        allocator.versions["vm-2"] = 2
        await eventually(lambda: delivered(allocator, "vm-2") == 2)
        assert allocator.said("/api/update_inuse_status", "vm-2")[-1]["status"] is True
        del allocator.versions["vm-2"]
        await eventually(lambda: "vm-2" in allocator.holding)
        assert allocator.said("/api/update_inuse_status", "vm-2")[-1]["status"] is False


def delivered(allocator: Allocator, hostname: str) -> int | None:
    heartbeats = allocator.said(f"/api/v1/client/{hostname}/heartbeat", hostname)
    return heartbeats[-1]["code_version_delivered"] if heartbeats else None


async def test_an_aborted_hold_comes_back(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-3")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        for number in (1, 2, 3):
            await eventually(lambda number=number: allocator.holds["vm-3"] == number)  # type: ignore[misc]
            allocator.abort("vm-3")
        await eventually(lambda: allocator.holds["vm-3"] == 4)
        allocator.versions["vm-3"] = 1
        await eventually(lambda: delivered(allocator, "vm-3") == 1)


async def test_a_terminated_vm_falls_silent(aws: RunningAws, tmp_path: Path) -> None:
    instance_id = launch(aws, "vm-4")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-4" in allocator.holding)
        await fault(aws, kill=instance_id)
        await eventually(lambda: "vm-4" not in allocator.holding)


async def test_a_lying_listing_ends_no_vm(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-5")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-5" in allocator.holding)
        await fault(aws, listing="empty", times=3)
        await anyio.sleep(2.5)
        assert allocator.holds["vm-5"] == 1
    async with httpx.AsyncClient() as http:
        faults = (await http.get(f"{aws.fault_url}/faults")).json()["faults"]
    assert faults[0]["used"] == 0, "the VMs' own looks must not use up what is meant for the controller"


async def test_a_hanging_vm_falls_silent_and_comes_back_without_a_boot(aws: RunningAws, tmp_path: Path) -> None:
    instance_id = launch(aws, "vm-6")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-6" in allocator.holding)
        await fault(aws, hang=instance_id)
        await eventually(lambda: "vm-6" not in allocator.holding)
        async with httpx.AsyncClient() as http:
            await http.delete(f"{aws.fault_url}/faults")
        await eventually(lambda: "vm-6" in allocator.holding)
    assert len(allocator.said("/api/vm-status", "vm-6")) == 2


async def test_a_lost_gpu_is_reported_at_once(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-7")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: bool(allocator.said("/api/gpu_health", "vm-7")))
        await fault(aws, gpu="Unhealthy", hostname="vm-7")
        await eventually(lambda: allocator.said("/api/gpu_health", "vm-7")[-1]["gpu_status"] == "Unhealthy")


async def test_a_spot_vm_tells_at_once_that_it_is_taken_back(aws: RunningAws, tmp_path: Path) -> None:
    instance_id = launch(aws, "vm-9")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):

        def told() -> list[Any]:
            return [body["reclaim_at"] for path, body in allocator.posts if path == "/api/v1/client/vm-9/heartbeat"]

        await eventually(lambda: None in told())
        await fault(aws, reclaim=instance_id, at="2026-12-01T09:02:00Z")
        await eventually(lambda: told()[-1] == "2026-12-01T09:02:00+00:00")


async def test_a_boot_that_never_ends_stays_initializing(aws: RunningAws, tmp_path: Path) -> None:
    await fault(aws, boot="never")
    launch(aws, "vm-8")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: bool(allocator.said("/api/vm-status", "vm-8")))
        await anyio.sleep(1.5)
        assert [body["status"] for body in allocator.said("/api/vm-status", "vm-8")] == ["initializing"]
        assert not allocator.holds["vm-8"]


async def test_after_a_restart_vms_wait_again_without_a_second_boot(aws: RunningAws, tmp_path: Path) -> None:
    launch(aws, "vm-9")
    kept = tmp_path / "clients.json"
    async with serving() as allocator, running(aws, allocator, kept):
        await eventually(lambda: "vm-9" in allocator.holding)
    async with serving() as allocator, running(aws, allocator, kept, boot_s=600):
        await eventually(lambda: "vm-9" in allocator.holding)
        assert allocator.said("/api/vm-status", "vm-9") == []
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_a_stopped_vm_boots_again_when_it_is_started(aws: RunningAws, tmp_path: Path) -> None:
    instance_id = launch(aws, "vm-10")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        await eventually(lambda: "vm-10" in allocator.holding)
        await fault(aws, stop=instance_id)
        await eventually(lambda: "vm-10" not in allocator.holding)
        await anyio.to_thread.run_sync(lambda: boto(aws, "ec2").start_instances(InstanceIds=[instance_id]))
        await eventually(lambda: "vm-10" in allocator.holding)
    statuses = [body["status"] for body in allocator.said("/api/vm-status", "vm-10")]
    assert statuses == ["initializing", "running", "rebooting", "running"]


async def test_log_lines_reach_the_allocator_once_through_the_real_handler(
    aws: RunningAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(aws, "vm-11")
    async with serving() as allocator, running(aws, allocator, tmp_path / "clients.json"):
        monkeypatch.setenv("ALLOCATOR_URL", allocator.url)
        monkeypatch.setenv("LOG_TOKEN", "log-token")
        pump = LogPump(boto(aws, "logs"), handler, tmp_path / "logpump.json")
        await until_done(lambda: anyio.to_thread.run_sync(pump.pump_once), lambda: len(lines(allocator)) >= 3)
        again = LogPump(boto(aws, "logs"), handler, tmp_path / "logpump.json")
        await anyio.to_thread.run_sync(again.pump_once)
    assert lines(allocator)[:3] == [
        "cloud-init: first boot",
        "docker: pulling the client image",
        "docker: the client container runs",
    ]
    ids = [event["id"] for path, body in allocator.posts if path == "/api/vm-logs" for event in body["events"]]
    assert ids
    assert "Bearer log-token" in allocator.tokens


def lines(allocator: Allocator) -> list[str]:
    bodies = [body for path, body in allocator.posts if path == "/api/vm-logs" and body["log_stream"] == "vm-11"]
    return [event["message"] for body in bodies for event in body["events"]]


async def until_done(act: Callable[[], Awaitable[object]], holds: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not holds():
            await act()
            await anyio.sleep(0.2)


async def test_what_the_allocator_refuses_is_handed_over_again_but_not_for_ever(
    aws: RunningAws, tmp_path: Path
) -> None:
    logs = boto(aws, "logs")
    logs.create_log_group(logGroupName="refusals")
    for stream in ("known", "unknown"):
        logs.create_log_stream(logGroupName="refusals", logStreamName=stream)
    taken: list[str] = []
    refused: list[str] = []

    def choosy(event: dict[str, Any], _context: object) -> None:
        stream = read_stream(event)
        (taken if stream == "known" else refused).append(stream)
        if stream == "unknown":
            raise RuntimeError("404")

    pump = LogPump(logs, choosy, tmp_path / "logpump.json")
    now = time.time_ns() // 1_000_000
    for number in range(6):
        for stream in ("known", "unknown") if number == 0 else ("known",):
            line = {"timestamp": now + number, "message": f"{number}"}
            logs.put_log_events(logGroupName="refusals", logStreamName=stream, logEvents=[line])
        await anyio.to_thread.run_sync(pump.pump_once)
    assert len(taken) == 6
    assert refused.count("unknown") == 3


def read_stream(event: dict[str, Any]) -> str:
    return str(json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))["logStream"])


def test_user_data_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not gzip"):
        read_user_data("IyEvYmluL2Jhc2g=")
