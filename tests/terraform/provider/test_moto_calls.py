"""moto, called as AWS is: one call at a time, and its own faults are AWS's, which SDKs try again."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from wsgiref.types import WSGIApplication

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.moto_server import MotoCalls, MotoServer

VPCS = b"<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>"


@contextmanager
def connect(moto: WSGIApplication | None, attempts: int) -> Iterator[Any]:
    server = MotoServer(moto)
    keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
    try:
        yield boto3.client("ec2", "us-west-2", endpoint_url=server.url, config=Config(retries=retries), **keys)
    finally:
        server.stop()


def failing(times: int) -> WSGIApplication:
    left = iter(range(times))

    def moto(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if next(left, None) is not None:
            raise RuntimeError("dictionary changed size during iteration")
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [VPCS]

    return moto


def test_a_fault_of_moto_is_tried_again_and_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with connect(failing(times=1), attempts=2) as ec2:
        assert [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]] == ["vpc-1"]
    (record,) = [record for record in caplog.records if record.name == "sandbox.moto_server"]
    assert record.exc_info is not None
    assert "changed size" in str(record.exc_info[1])


def test_a_fault_that_stays_reaches_the_caller_with_its_cause() -> None:
    with connect(failing(times=3), attempts=1) as ec2, pytest.raises(ClientError) as caught:
        ec2.describe_vpcs()
    assert caught.value.response["Error"]["Code"] == "InternalError"
    assert "dictionary changed size" in caught.value.response["Error"]["Message"]


def test_calls_at_the_same_time_reach_moto_one_by_one() -> None:
    inside: list[int] = []
    most = 0
    together = threading.Barrier(8)

    def moto(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        threading.Event().wait(0.001)  # lets the others run into it
        inside.pop()
        start_response("200 OK", [])
        return [b""]

    calls = MotoCalls(threading.Lock(), moto)

    def call(_number: int) -> None:
        together.wait(10)
        list(calls({"REQUEST_METHOD": "POST"}, lambda *_: lambda _body: None))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))
    assert most == 1


def test_the_tags_of_a_thing_are_those_that_moto_itself_tells() -> None:
    with connect(None, attempts=1) as ec2:
        wanted: Any = [
            {"ResourceType": kind, "Tags": [{"Key": "Name", "Value": kind}]} for kind in ("instance", "volume")
        ]
        launched = ec2.run_instances(ImageId="ami-12c6146b", MinCount=2, MaxCount=2, TagSpecifications=wanted)
        one, other = (instance["InstanceId"] for instance in launched["Instances"])
        ec2.create_tags(Resources=[one], Tags=[{"Key": "pool", "Value": "client"}])
        seen = ec2.describe_instances(Filters=[{"Name": "tag:pool", "Values": ["client"]}])["Reservations"]
        (instance,) = [instance for group in seen for instance in group["Instances"]]
        told = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [one]}])["Tags"]
        rest = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [other]}])["Tags"]
    assert instance["InstanceId"] == one
    assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == {tag["Key"]: tag["Value"] for tag in told}
    assert [tag["Key"] for tag in rest] == ["Name"]
