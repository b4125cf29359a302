"""What a change does to a running deployment: what must stay stays, what must go goes, and what is protected is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lablink.infra_copy import Copy
from tests.infrastructure.conftest import Deploy
from tests.infrastructure.test_matrix import (
    find_addresses,
    find_databases,
    find_instances,
    find_leftovers,
    find_volumes,
    open_ports,
)
from tests.infrastructure.world import AMI, Cloud, Deployment

ROOT = Path(__file__).resolve().parents[2]


def read_host(cloud: Cloud, lab: Deployment) -> dict[str, str]:
    value = cloud.client("ssm").get_parameter(Name=f"/lablink/{lab.name}/test/host")["Parameter"]["Value"]
    return dict(json.loads(value))


def changes_of(lab: Deployment) -> list[str]:
    """What a second plan, right after the apply, would still do."""
    return [line for line in lab.run("plan").splitlines() if " will be " in line or " must be " in line]


def test_changes_keep_instance_volume_and_address(cloud: Cloud, deploy: Deploy) -> None:
    lab = deploy("life", dns={"enabled": True, "terraform_managed": False, "domain": "life.example.org"})
    lab.apply()
    (instance,), (volume,) = find_instances(cloud, lab), find_volumes(cloud, lab)
    assert read_host(cloud, lab)["TLS"] == "none"
    assert changes_of(lab) == []

    lab.write(ssl={"provider": "letsencrypt", "email": "admin@example.org"}, eip={"strategy": "persistent"})
    lab.apply()
    (same,), (address,) = find_instances(cloud, lab), find_addresses(cloud, lab)
    assert (same["InstanceId"], address["InstanceId"]) == (instance["InstanceId"], instance["InstanceId"])
    assert read_host(cloud, lab)["TLS"] == "letsencrypt"
    assert lab.outputs()["url"] == "https://life.example.org"

    lab.write(ssl={"provider": "none"}, allocator={"open_port_5000": True, "ssh": {"ingress": ["192.0.2.0/24"]}})
    lab.apply()
    assert {(5000, "0.0.0.0/0"), (22, "192.0.2.0/24")} <= open_ports(cloud, lab.named("allocator"))
    assert find_instances(cloud, lab)[0]["InstanceId"] == instance["InstanceId"]
    (kept,) = find_volumes(cloud, lab)
    assert kept["VolumeId"] == volume["VolumeId"]
    lab.variables["protect"] = True
    lab.run("apply", "-auto-approve", "-target=aws_ebs_volume.data")
    lab.run("destroy", "-auto-approve")
    assert find_leftovers(cloud, lab) == {}
    tagged = [{"Name": "tag:lablink:deployment", "Values": [lab.name]}]
    saved = [one["VolumeId"] for one in cloud.client("ec2").describe_snapshots(Filters=tagged)["Snapshots"]]
    assert saved == [volume["VolumeId"]]


def test_two_allocators_stand_behind_the_load_balancer_and_a_protected_database_stays(
    cloud: Cloud, deploy: Deploy
) -> None:
    lab = deploy(
        "pair",
        database={"mode": "rds", "instance_class": "db.t4g.small", "multi_az": True},
        ssl={"provider": "acm", "certificate_arn": cloud.certificate},
        dns={"enabled": True, "domain": "pair.example.org"},
        allocator={"replicas": 2},
    )
    lab.variables["protect"] = True
    lab.apply()
    group = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[lab.named("allocator")])
    members = {one["InstanceId"] for one in group["AutoScalingGroups"][0]["Instances"]}
    assert len(members) == 2
    assert {one["InstanceId"] for one in find_instances(cloud, lab)} == members
    elb = cloud.client("elbv2")
    (target,) = elb.describe_target_groups(Names=[lab.named("alb")])["TargetGroups"]
    listed = elb.describe_target_health(TargetGroupArn=target["TargetGroupArn"])["TargetHealthDescriptions"]
    assert {one["Target"]["Id"] for one in listed} == members
    assert find_volumes(cloud, lab) == []
    assert read_host(cloud, lab)["REPLICAS"] == "2"
    assert changes_of(lab) == []

    refused = lab.terraform("destroy", "-auto-approve", "-target=aws_db_instance.lablink")
    assert refused.returncode == 1
    assert len(find_databases(cloud, lab)) == 1
    lab.variables["protect"] = False
    lab.apply()
    check_a_lost_database_is_made_anew(cloud, lab)
    lab.run("destroy", "-auto-approve")
    assert find_leftovers(cloud, lab) == {}
    snapshots = cloud.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert f"{lab.named('database')}-final" in [one["DBSnapshotIdentifier"] for one in snapshots]


def check_a_lost_database_is_made_anew(cloud: Cloud, lab: Deployment) -> None:
    """As deploy/RUNBOOK.md has it: one apply, and the hosts are told where the empty one is; `lablink restore` fills it."""
    (before,) = find_databases(cloud, lab)
    cloud.client("rds").delete_db_instance(DBInstanceIdentifier=lab.named("database"), SkipFinalSnapshot=True)
    assert find_databases(cloud, lab) == []
    lab.apply()
    (after,) = find_databases(cloud, lab)
    assert after["DBInstanceArn"] == before["DBInstanceArn"]
    told = read_host(cloud, lab)
    assert told["DATABASE_HOST"] == after["Endpoint"]["Address"]
    assert told["DATABASE_SECRET"] == after["MasterUserSecret"]["SecretArn"]


def infra(lab: Deployment, *words: str) -> str:
    """`lablink infra …` as a person calls it; afterwards the deployment's working copy is that of the command."""
    data = lab.folder / "data"
    command = [sys.executable, "-m", "lablink", "infra", *words, "--file", str(lab.folder / "lablink.yaml")]
    environment = {**lab.cloud.environment, "LABLINK_DATA": str(data), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    lab.copy = Copy(data / "infrastructure" / f"{lab.name}-test")
    return done.stdout


def test_an_address_that_exists_already_is_used_and_left_by_the_command(cloud: Cloud, deploy: Deploy) -> None:
    given = cloud.client("ec2").allocate_address(Domain="vpc")
    lab = deploy("given", eip={"strategy": "persistent", "allocation_id": given["AllocationId"]})
    infra(lab, "init")
    assert "to add, 0 to change, 0 to destroy" in infra(lab, "plan", "--ami", AMI)
    infra(lab, "apply", "--yes", "--ami", AMI)
    ec2 = cloud.client("ec2")
    (address,) = ec2.describe_addresses(AllocationIds=[given["AllocationId"]])["Addresses"]
    assert address["InstanceId"] == find_instances(cloud, lab)[0]["InstanceId"]
    assert f'url = "http://{given["PublicIp"]}"' in " ".join(infra(lab, "output").split())
    infra(lab, "destroy", "--yes", "--unprotect", "--ami", AMI)
    assert find_leftovers(cloud, lab) == {}
    assert ec2.describe_addresses(AllocationIds=[given["AllocationId"]])["Addresses"]


@pytest.mark.parametrize("changes", [{"ssl": {"provider": "none"}, "database": {"mode": "embedded"}}])
def test_two_allocators_without_what_they_share_are_refused_by_terraform_too(
    deploy: Deploy, changes: dict[str, object]
) -> None:
    lab = deploy("alone", **changes)
    lab.add_line("allocator: {replicas: 2}")
    refused = lab.terraform("plan")
    assert refused.returncode == 1
    assert "allocator.replicas: 2 needs" in " ".join(refused.stderr.replace("│", " ").split())
