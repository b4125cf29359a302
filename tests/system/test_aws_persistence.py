"""AWS as a process of its own: it starts, keeps its world over stops and kills, and ends with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.aws import AwsError, RunningAws, start_aws

LABLINK_AMI = "ami-0601752c11b394251"

_PARENT = """
import sys, time
from pathlib import Path
from sandbox.aws import start_aws
print(start_aws(Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def _connect(aws: RunningAws, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.url,
        region_name=aws.region,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def _wait_until(true: Callable[[], bool], within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _make_world(aws: RunningAws) -> None:
    ec2, iam, logs, s3 = (_connect(aws, name) for name in ("ec2", "iam", "logs", "s3"))
    iam.create_role(RoleName="client", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="client")
    iam.add_role_to_instance_profile(InstanceProfileName="client", RoleName="client")
    group = ec2.create_security_group(GroupName="client", Description="of client VMs")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8")
    ec2.create_key_pair(KeyName="client")
    made = ec2.run_instances(
        ImageId=LABLINK_AMI,
        InstanceType="g4dn.xlarge",
        MinCount=4,
        MaxCount=4,
        UserData="#!/bin/sh\necho hello",
        KeyName="client",
        SecurityGroupIds=[group],
        IamInstanceProfile={"Name": "client"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "lablink:pool", "Value": "lab"}]}],
    )["Instances"]
    ec2.stop_instances(InstanceIds=[made[0]["InstanceId"]])
    ec2.terminate_instances(InstanceIds=[made[1]["InstanceId"]])
    logs.create_log_group(logGroupName="/lablink")
    logs.create_log_stream(logGroupName="/lablink", logStreamName="one")
    logs.put_log_events(
        logGroupName="/lablink",
        logStreamName="one",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": "booted"}],
    )
    _connect(aws, "ssm").put_parameter(Name="/lablink/key", Value="not secret", Type="String")
    s3.create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_object(Bucket="states", Key="a.tfstate", Body=b"{}" * 10_000)


def _read_world(aws: RunningAws) -> dict[str, Any]:
    ec2, iam, logs = (_connect(aws, name) for name in ("ec2", "iam", "logs"))
    instances = [one for page in ec2.describe_instances()["Reservations"] for one in page["Instances"]]
    world = {
        "instances": instances,
        "user data": [
            ec2.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")["UserData"]
            for one in instances
        ],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "keys": ec2.describe_key_pairs()["KeyPairs"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "associations": ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"],
        "streams": logs.describe_log_streams(logGroupName="/lablink")["logStreams"],
        "lines": logs.get_log_events(logGroupName="/lablink", logStreamName="one")["events"],
        "parameter": _connect(aws, "ssm").get_parameter(Name="/lablink/key")["Parameter"],
        "object": _connect(aws, "s3").get_object(Bucket="states", Key="a.tfstate")["Body"].read(),
        "account": _connect(aws, "sts").get_caller_identity()["Account"],
    }
    decoded: dict[str, Any] = json.loads(json.dumps(world, default=str))
    return decoded


def test_whole_world_is_there_again_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    with start_aws(tmp_path) as first:
        _make_world(first)
        before = _read_world(first)
    assert [one["State"]["Name"] for one in before["instances"]] == ["stopped", "terminated", "running", "running"]
    assert before["account"] == "123456789012"

    with start_aws(tmp_path) as second:
        assert _read_world(second) == before
        _connect(second, "ec2").create_tags(
            Resources=[before["instances"][2]["InstanceId"]], Tags=[{"Key": "late", "Value": "change"}]
        )
        stored_at = (tmp_path / "aws.pickle").stat().st_mtime_ns
        assert _wait_until(lambda: (tmp_path / "aws.pickle").stat().st_mtime_ns != stored_at)
        changed = _read_world(second)
        os.kill(second.pid, signal.SIGKILL)

    with start_aws(tmp_path) as third:
        assert _read_world(third) == changed
        ec2 = _connect(third, "ec2")
        ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in changed["instances"]])
        ec2.run_instances(ImageId="ami-12345678", InstanceType="t3.large", MinCount=1, MaxCount=1)
    assert (tmp_path / "aws.log").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("spoil", ["version", "torn"])
def test_world_that_cannot_be_read_is_put_aside_and_said(tmp_path: Path, spoil: str) -> None:
    start_aws(tmp_path).stop()
    stored = tmp_path / "aws.pickle"
    stamp, _, body = stored.read_bytes().partition(b"\n")
    other = json.dumps({**json.loads(stamp), "moto": "4.0.0"}).encode()
    stored.write_bytes((other + b"\n" + body) if spoil == "version" else (stamp + b"\n" + body[:-100]))
    with start_aws(tmp_path) as aws:
        assert _connect(aws, "ec2").describe_instances()["Reservations"] == []
    assert (tmp_path / "aws.unreadable").exists()
    assert "starting an empty one" in (tmp_path / "aws.log").read_text(encoding="utf-8")


def test_two_run_side_by_side_and_a_taken_port_is_told(tmp_path: Path) -> None:
    with start_aws(tmp_path / "one") as one, start_aws(tmp_path / "two", region="eu-central-1") as two:
        _connect(one, "ec2").run_instances(ImageId=LABLINK_AMI, InstanceType="t3.large", MinCount=1, MaxCount=1)
        assert _connect(two, "ec2").describe_instances()["Reservations"] == []
        port = int(one.url.rpartition(":")[2])
        with pytest.raises(AwsError, match=rf"^Port {port} of 127\.0\.0\.1 cannot be used .*: choose another one\.$"):
            start_aws(tmp_path / "three", port=port)


def test_world_is_stored_again_once_the_disk_takes_it(tmp_path: Path) -> None:
    with start_aws(tmp_path) as aws:
        (tmp_path / "aws.draft").mkdir()
        _connect(aws, "ec2").run_instances(ImageId=LABLINK_AMI, InstanceType="t3.large", MinCount=1, MaxCount=1)
        assert _wait_until(lambda: "could not be stored" in (tmp_path / "aws.log").read_text(encoding="utf-8"))
        assert not (tmp_path / "aws.pickle").exists()
        (tmp_path / "aws.draft").rmdir()
        assert _wait_until((tmp_path / "aws.pickle").exists)


def test_folder_in_use_is_told(tmp_path: Path) -> None:
    with start_aws(tmp_path), pytest.raises(AwsError, match=r"^The folder .* is in use by another AWS"):
        start_aws(tmp_path)


def test_terminated_instances_are_forgotten_after_their_time(tmp_path: Path) -> None:
    with start_aws(tmp_path, forget_terminated_s=0) as aws:
        ec2 = _connect(aws, "ec2")
        made = ec2.run_instances(ImageId=LABLINK_AMI, InstanceType="t3.large", MinCount=2, MaxCount=2)["Instances"]
        ec2.terminate_instances(InstanceIds=[made[0]["InstanceId"]])

        def read_ids() -> list[str]:
            listed = ec2.describe_instances()["Reservations"]
            return [one["InstanceId"] for group in listed for one in group["Instances"]]

        assert _wait_until(lambda: read_ids() == [made[1]["InstanceId"]])


def test_process_ends_with_its_parent(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    with start_aws(tmp_path) as at_once:
        assert _is_gone(pid), "the next one waits for the one before"
        assert at_once.pid != pid


def test_missing_profile_of_the_person_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with start_aws(tmp_path) as aws:
        monkeypatch.delenv("AWS_PROFILE")
        images = _connect(aws, "ec2").describe_images(ImageIds=[LABLINK_AMI])["Images"]
        assert [image["ImageId"] for image in images] == [LABLINK_AMI]
