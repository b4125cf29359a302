"""Every fault of the sandbox's AWS, through boto3 as the controller and the provider meet it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.aws import RunningAws, start_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    folder: Path = tmp_path_factory.mktemp("aws")
    with start_aws(folder) as running:
        yield running
    assert (folder / "aws.log").read_text(encoding="utf-8") == ""


@pytest.fixture
def ec2(aws: RunningAws) -> Iterator[Any]:
    """A client that tries once, in a world without instances that live and without faults."""
    client = _connect(aws, "ec2")
    yield client
    httpx.delete(f"{aws.fault_url}/faults").raise_for_status()
    live = _list(client)
    if live:
        client.terminate_instances(InstanceIds=live)


def _connect(aws: RunningAws, service: str, attempts: int = 1) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.url,
        region_name=aws.region,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


def _inject(aws: RunningAws, **fault: Any) -> None:
    answer = httpx.post(f"{aws.fault_url}/faults", json=fault)
    assert answer.status_code == 201, answer.text


def _run(ec2: Any, count: int = 1, **more: Any) -> list[str]:
    options = {"ImageId": "ami-0601752c11b394251", "InstanceType": "g4dn.xlarge", **more}
    made = ec2.run_instances(MinCount=count, MaxCount=count, **options)["Instances"]
    return [one["InstanceId"] for one in made]


def _list(ec2: Any, **options: Any) -> list[str]:
    """The ids of what is pending, running or stopped."""
    live = {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[live], **options)
    return [one["InstanceId"] for page in pages for group in page["Reservations"] for one in group["Instances"]]


def _read_state(ec2: Any, instance_id: str) -> str:
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def _refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_capacity_refusal_meets_the_named_type_so_many_times(aws: RunningAws, ec2: Any) -> None:
    before = httpx.get(f"{aws.fault_url}/calls").json().get("RunInstances", 0)
    capacity = "InsufficientInstanceCapacity"
    _inject(aws, on="RunInstances", error=capacity, times=2, where={"InstanceType": "g4dn.xlarge"})
    _run(ec2, InstanceType="t3.large")
    for _ in range(2):
        with _refused(capacity):
            _run(ec2)
    _run(ec2)
    assert len(_list(ec2)) == 2
    assert httpx.get(f"{aws.fault_url}/calls").json()["RunInstances"] - before == 4
    listed = httpx.get(f"{aws.fault_url}/faults").json()["faults"]
    assert [(one["used"], one["over"]) for one in listed] == [(2, True)]


def test_refusal_can_name_a_nested_parameter_a_tag_and_an_id(aws: RunningAws, ec2: Any) -> None:
    _inject(aws, on="RunInstances", error="Unsupported", where={"Placement.AvailabilityZone": "us-west-2b"})
    _inject(aws, on="RunInstances", error="VcpuLimitExceeded", where={"tag:lablink:hostname": "lab-a-3"})
    with _refused("Unsupported"):
        _run(ec2, Placement={"AvailabilityZone": "us-west-2b"})
    tags = [{"Key": "Name", "Value": "x"}, {"Key": "lablink:hostname", "Value": "lab-a-3"}]
    with _refused("VcpuLimitExceeded"):
        _run(ec2, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    one, two = _run(ec2, 2, Placement={"AvailabilityZone": "us-west-2a"})
    _inject(aws, on="TerminateInstances", error="OperationNotPermitted", where={"InstanceId": two})
    ec2.terminate_instances(InstanceIds=[one])
    with _refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[two])


@pytest.mark.parametrize(
    ("service", "action", "call"),
    [
        ("iam", "GetRole", lambda client: client.get_role(RoleName="any")),
        ("sts", "GetCallerIdentity", lambda client: client.get_caller_identity()),
        ("logs", "DescribeLogGroups", lambda client: client.describe_log_groups()),
        ("ssm", "GetParameter", lambda client: client.get_parameter(Name="any")),
        ("s3", "PUT", lambda client: client.put_object(Bucket="any", Key="any", Body=b"any")),
    ],
)
def test_each_service_is_refused_in_its_own_form(
    aws: RunningAws, ec2: Any, service: str, action: str, call: Any
) -> None:
    _inject(aws, on=action, error="AccessDenied", message="Not <you> & yours", status=403)
    with _refused("AccessDenied") as caught:
        call(_connect(aws, service))
    assert caught.value.response["Error"]["Message"] == "Not <you> & yours"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_bare_500_and_a_slow_refusal(aws: RunningAws, ec2: Any) -> None:
    _inject(aws, on="RunInstances", error="500", times=1)
    with _refused("500"):
        _run(ec2)
    _inject(aws, on="RunInstances", error="InsufficientInstanceCapacity", seconds=0.4)
    begun_at = time.monotonic()
    with _refused("InsufficientInstanceCapacity"):
        _run(ec2)
    assert time.monotonic() - begun_at >= 0.4


def test_throttling_is_what_an_sdk_tries_again(aws: RunningAws, ec2: Any) -> None:
    _inject(aws, on="DescribeVpcs", error="RequestLimitExceeded", times=2)
    assert _connect(aws, "ec2", attempts=4).describe_vpcs()["Vpcs"]
    assert httpx.get(f"{aws.fault_url}/faults").json()["faults"][0]["used"] == 2


def test_instances_die_and_stop_behind_everybodys_back(aws: RunningAws, ec2: Any) -> None:
    one, two, three = _run(ec2, 3)
    _inject(aws, kill=one)
    _inject(aws, stop=two)
    assert [_read_state(ec2, each) for each in (one, two, three)] == ["terminated", "stopped", "running"]
    answer = httpx.post(f"{aws.fault_url}/faults", json={"kill": "i-00000000000000000"})
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no instance i-00000000000000000."})


def test_faults_of_client_vms_are_read_from_the_list_until_deleted(aws: RunningAws, ec2: Any) -> None:
    _inject(aws, hang="i-1")
    _inject(aws, hang="i-2")
    _inject(aws, boot="never")
    _inject(aws, gpu="Unhealthy", hostname="lab-a-1")
    _inject(aws, reclaim="i-2", at="2026-12-01T09:02:00Z")
    expected = {"hang": ["i-1", "i-2"], "boot_never": ["*"], "gpu": {"lab-a-1": "Unhealthy"}}
    expected["reclaim"] = {"i-2": "2026-12-01T09:02:00+00:00"}
    assert httpx.get(f"{aws.fault_url}/faults").json()["client"] == expected
    httpx.delete(f"{aws.fault_url}/faults")
    nothing = {"faults": [], "client": {"hang": [], "boot_never": [], "gpu": {}, "reclaim": {}}}
    assert httpx.get(f"{aws.fault_url}/faults").json() == nothing


def test_short_and_empty_listings_spare_calls_by_id(aws: RunningAws, ec2: Any) -> None:
    made = _run(ec2, 4) + _run(ec2, 1)
    _inject(aws, listing="short", times=1)
    assert _list(ec2) == [made[1], made[3]]
    _inject(aws, listing="empty")
    assert _list(ec2) == []
    by_id = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": made}])["Reservations"]
    assert sum(len(group["Instances"]) for group in by_id) == 5
    assert _read_state(ec2, made[0]) == "running"
    _inject(aws, listing="empty", all=True)
    httpx.delete(f"{aws.fault_url}/faults")
    _inject(aws, listing="empty", all=True)
    assert ec2.describe_instances(InstanceIds=made[:1])["Reservations"][0]["Instances"] == []


def test_stale_listing_shows_the_world_of_before(aws: RunningAws, ec2: Any) -> None:
    made = _run(ec2, 2)
    assert _list(ec2) == made
    _inject(aws, listing="stale")
    ec2.terminate_instances(InstanceIds=made[:1])
    _run(ec2)
    assert _list(ec2) == made
    httpx.delete(f"{aws.fault_url}/faults")
    assert made[0] not in _list(ec2)
    assert len(_list(ec2)) == 2


def test_failing_and_slow_listings(aws: RunningAws, ec2: Any) -> None:
    (made,) = _run(ec2)
    _inject(aws, listing="error", times=1)
    with _refused("InternalError"):
        _list(ec2)
    _inject(aws, listing="slow", seconds=0.4)
    begun_at = time.monotonic()
    assert _list(ec2) == [made]
    assert time.monotonic() - begun_at >= 0.4


def test_listing_fault_ends_after_its_seconds(aws: RunningAws, ec2: Any) -> None:
    made = _run(ec2, 2)
    _inject(aws, listing="empty", seconds=0.5)
    deadline = time.monotonic() + 20
    while _list(ec2) != made and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _list(ec2) == made
    assert httpx.get(f"{aws.fault_url}/faults").json()["faults"][0]["over"]


def test_pages_of_a_listing_hold_together_with_and_without_a_fault(aws: RunningAws, ec2: Any) -> None:
    made = [_run(ec2)[0] for _ in range(7)]
    assert _list(ec2, PaginationConfig={"PageSize": 5}) == made
    _inject(aws, listing="short", times=2)
    assert len(_list(ec2, PaginationConfig={"PageSize": 5})) == 3
    _inject(aws, listing="stale")
    ec2.terminate_instances(InstanceIds=made)
    assert _list(ec2, PaginationConfig={"PageSize": 5}) == made


def test_latency_delays_one_action_only(aws: RunningAws, ec2: Any) -> None:
    _inject(aws, latency={"RunInstances": 0.4})
    begun_at = time.monotonic()
    _run(ec2)
    assert time.monotonic() - begun_at >= 0.4
    assert _list(ec2)


def test_the_size_of_an_object_is_told_before_it_is_fetched(aws: RunningAws) -> None:
    s3 = _connect(aws, "s3")
    s3.create_bucket(Bucket="sizes", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    s3.put_object(Bucket="sizes", Key="backup", Body=b"12345")
    assert s3.head_object(Bucket="sizes", Key="backup")["ContentLength"] == 5
    assert s3.get_object(Bucket="sizes", Key="backup")["Body"].read() == b"12345"


def test_run_answers_pending_and_the_next_describe_running(aws: RunningAws, ec2: Any) -> None:
    made = ec2.run_instances(ImageId="ami-any", InstanceType="t3.large", MinCount=1, MaxCount=1)["Instances"][0]
    assert made["State"]["Name"] == "pending"
    assert _read_state(ec2, made["InstanceId"]) == "running"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "The body is not JSON."),
        ("[]", "A fault is a JSON object with exactly one of"),
        ('{"listing": "short", "kill": "i-1"}', "A fault is a JSON object with exactly one of"),
        ('{"listing": "odd"}', "listing: Input should be 'short', 'empty', 'slow', 'stale' or 'error'"),
        ('{"on": "RunInstances"}', "error: Field required"),
        ('{"on": "RunInstances", "error": "500", "tmies": 3}', "tmies: Extra inputs are not permitted"),
        ('{"boot": "never", "seconds": -1}', "seconds: Extra inputs"),
    ],
)
def test_fault_that_is_not_understood_is_answered_with_a_sentence(aws: RunningAws, body: str, sentence: str) -> None:
    answer = httpx.post(f"{aws.fault_url}/faults", content=body)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert httpx.get(f"{aws.fault_url}/faults").json()["faults"] == []
