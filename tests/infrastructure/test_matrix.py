"""Every pair of choices applied for real: what each asks for exists, what it does not ask for does not, and all of it goes again."""

from collections import Counter
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pictures.facts import Facts
from schemas.document import parse_lab
from tests.infrastructure.conftest import Deploy
from tests.infrastructure.world import DOMAIN, Cloud, Deployment

CHOICES: dict[str, tuple[str, ...]] = {
    "ssl": ("none", "letsencrypt", "cloudflare", "acm"),
    "dns": ("off", "managed", "create_zone", "by_hand"),
    "eip": ("persistent", "dynamic"),
    "database": ("embedded", "rds"),
    "state": ("local", "s3"),
}
Case = dict[str, str]
ROOT = Path(__file__).parents[2]
FOLDERS = ("terraform", "infrastructure", "deploy")
MODES = {"resource": "managed", "data": "data"}
SEED = 15  # one of those that need 16 cases, the fewest there can be


def cover_pairs() -> list[Case]:
    """Few cases in which every two values of two choices meet: greedily the case with most new pairs, at a tie any."""
    names = list(CHOICES)
    cases = [dict(zip(names, values, strict=True)) for values in product(*CHOICES.values())]
    Random(SEED).shuffle(cases)
    open_pairs = {pair for case in cases for pair in pairs_of(case)}
    chosen = []
    while open_pairs:
        best = max(cases, key=lambda case: len(pairs_of(case) & open_pairs))
        chosen.append(best)
        open_pairs -= pairs_of(best)
    return chosen


def pairs_of(case: Case) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    return set(combinations(case.items(), 2))


CASES = cover_pairs()


def test_every_pair_of_choices_is_applied() -> None:
    met = Counter(pair for case in CASES for pair in pairs_of(case))
    wanted = {((a, x), (b, y)) for a, b in combinations(CHOICES, 2) for x in CHOICES[a] for y in CHOICES[b]}
    assert wanted == set(met)
    assert len(CASES) == 16


def render_document(case: Case, number: int, cloud: Cloud) -> dict[str, Any]:
    document: dict[str, Any] = {"eip": {"strategy": case["eip"]}, "database": {"mode": case["database"]}}
    if case["database"] == "rds":
        document["database"]["instance_class"] = "db.t4g.small"
    domain = f"n{number}.{DOMAIN}" if case["dns"] == "create_zone" else f"n{number}.example.org"
    document["ssl"] = {"provider": case["ssl"]}
    if case["ssl"] == "letsencrypt":
        document["ssl"] |= {"email": "admin@example.org", "staging": True}
    if case["ssl"] == "acm":
        document["ssl"]["certificate_arn"] = cloud.certificate
    document["dns"] = {"domain": domain, "enabled": case["dns"] != "off"}
    document["dns"] |= {"terraform_managed": case["dns"] != "by_hand", "create_zone": case["dns"] == "create_zone"}
    if case["state"] == "s3":
        document["state"] = {"backend": "s3", "bucket": f"states-{number}", "lock": ("s3", "dynamodb")[number % 2]}
        document["backup"] = {"bucket": f"backups-{number}"}
    return document


@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join(case.values()) for case in CASES])
def test_a_case_makes_what_it_asks_for_and_nothing_else(cloud: Cloud, deploy: Deploy, number: int) -> None:
    case = CASES[number]
    lab = deploy(f"m{number}", **render_document(case, number, cloud))
    if case["state"] == "s3":
        lab.run("apply", "-auto-approve", bootstrap=True)
        check_buckets(cloud, lab, number)
        lab.init()
    lab.apply()
    check_always(cloud, lab)
    check_address(cloud, lab, case, number)
    check_balancer(cloud, lab, case)
    check_database(cloud, lab, case)
    check_state(cloud, lab, case, number)
    check_picture(lab)
    lab.destroy()
    if case["state"] == "s3":
        lab.destroy(bootstrap=True)
    assert find_leftovers(cloud, lab) == {}


def check_always(cloud: Cloud, lab: Deployment) -> None:
    group, lambda_name = lab.named("cloud-init"), f"{lab.name}_log_processor_test"
    (instance,) = find_instances(cloud, lab)
    assert instance["InstanceType"] == "t3.large"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith(f"/{lab.named('allocator')}")
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    kept = {one["logGroupName"]: one["retentionInDays"] for one in groups if lab.name in one["logGroupName"]}
    assert kept == dict.fromkeys((f"/aws/ec2/{lab.named('allocator')}", group, f"/aws/lambda/{lambda_name}"), 7)
    (filter_,) = cloud.client("logs").describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    function = cloud.client("lambda").get_function(FunctionName=lambda_name)["Configuration"]
    assert filter_["destinationArn"] == function["FunctionArn"]
    assert (function["MemorySize"], function["Timeout"], function["Handler"]) == (128, 60, "handler.handler")
    assert function["Environment"]["Variables"] == {"ALLOCATOR_URL": lab.outputs()["url"]}
    names = {one["AlarmName"].removeprefix(f"{lab.name}-") for one in find_alarms(cloud, lab)}
    assert {"cpu-test", "status-test", "disk-test", "converged-test", "ticks-test", "lambda-errors-test"} <= names
    assert cloud.client("cloudwatch").get_dashboard(DashboardName=f"{lab.name}-test")["DashboardBody"]
    keys = cloud.client("ssm").describe_parameters()["Parameters"]
    assert [one["Name"] for one in keys if lab.name in one["Name"].split("/")] == [f"/lablink/{lab.name}/test/host"]


def check_address(cloud: Cloud, lab: Deployment, case: Case, number: int) -> None:
    addresses = find_addresses(cloud, lab)
    outputs, (instance,) = lab.outputs(), find_instances(cloud, lab)
    assert len(addresses) == (case["eip"] == "persistent")
    if addresses:
        assert addresses[0]["InstanceId"] == instance["InstanceId"]
        assert outputs["public_address"] == addresses[0]["PublicIp"]
    records = find_records(cloud, f"n{number}.")
    assert len(records) == (case["dns"] in ("managed", "create_zone"))
    for record in records:
        if case["ssl"] == "acm":
            assert record["AliasTarget"]["DNSName"].rstrip(".") == outputs["load_balancer"]
        else:
            assert record["ResourceRecords"] == [{"Value": outputs["public_address"]}]
    assert bool(outputs["name_servers"]) == (case["dns"] == "create_zone")
    scheme = "http" if case["ssl"] == "none" else "https"
    by_name = case["dns"] != "off" or case["ssl"] != "none"
    assert outputs["url"].startswith(f"{scheme}://n{number}." if by_name else f"http://{outputs['public_address']}")
    host = cloud.client("ssm").get_parameter(Name=f"/lablink/{lab.name}/test/host")["Parameter"]["Value"]
    assert f'"TLS":"{case["ssl"]}"' in host
    assert ("acme-staging" in host) == (case["ssl"] == "letsencrypt")


def check_balancer(cloud: Cloud, lab: Deployment, case: Case) -> None:
    balancers = cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]
    mine = [one for one in balancers if one["LoadBalancerName"] == lab.named("alb")]
    assert len(mine) == (case["ssl"] == "acm")
    opened = open_ports(cloud, lab.named("allocator"))
    assert opened == ({(80, "sg")} if mine else {(80, "0.0.0.0/0"), (80, "::/0"), (443, "0.0.0.0/0"), (443, "::/0")})
    if not mine:
        return
    elb, arn = cloud.client("elbv2"), mine[0]["LoadBalancerArn"]
    listeners = {one["Port"]: one for one in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]}
    assert listeners[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert listeners[443]["Certificates"][0]["CertificateArn"] == cloud.certificate
    written = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "4000"} in written
    (target,) = elb.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
    assert target["HealthCheckPath"] == "/api/health"
    (health,) = elb.describe_target_health(TargetGroupArn=target["TargetGroupArn"])["TargetHealthDescriptions"]
    assert health["Target"]["Id"] == find_instances(cloud, lab)[0]["InstanceId"]


def check_database(cloud: Cloud, lab: Deployment, case: Case) -> None:
    databases = find_databases(cloud, lab)
    volumes = find_volumes(cloud, lab)
    assert (len(databases), len(volumes)) == ((1, 0) if case["database"] == "rds" else (0, 1))
    assert ("aws_dlm_lifecycle_policy.data" in lab.addresses()) == bool(volumes)
    for volume in volumes:
        assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (100, "gp3", True)
        assert volume["Attachments"][0]["InstanceId"] == find_instances(cloud, lab)[0]["InstanceId"]
    for database in databases:
        assert (database["Engine"], database["StorageEncrypted"], database["PubliclyAccessible"]) == (
            "postgres", True, False,
        )  # fmt: skip
        assert database["BackupRetentionPeriod"] == 7
        assert database["MasterUserSecret"]["SecretArn"]
        assert open_ports(cloud, lab.named("database")) == {(5432, "sg")}


def check_buckets(cloud: Cloud, lab: Deployment, number: int) -> None:
    s3 = cloud.client("s3")
    for name in (f"states-{number}", f"backups-{number}"):
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
        rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["Status"] == "Enabled"
    tables = cloud.client("dynamodb").list_tables()["TableNames"]
    assert (lab.named("lock") in tables) == (number % 2 == 1)


def check_state(cloud: Cloud, lab: Deployment, case: Case, number: int) -> None:
    here = (lab.copy.allocator / "terraform.tfstate").exists()
    assert here == (case["state"] == "local")
    if case["state"] == "s3":
        listed = cloud.client("s3").list_objects_v2(Bucket=f"states-{number}")["Contents"]
        assert [one["Key"] for one in listed] == [f"{lab.name}/test/infrastructure.tfstate"]


def find_leftovers(cloud: Cloud, lab: Deployment) -> dict[str, Any]:
    """What still exists under a deployment's names."""
    iam, logs = cloud.client("iam"), cloud.client("logs")
    found = {
        "instances": find_instances(cloud, lab),
        "volumes": find_volumes(cloud, lab),
        "addresses": find_addresses(cloud, lab),
        "databases": find_databases(cloud, lab),
        "alarms": find_alarms(cloud, lab),
        "roles": [one for one in iam.list_roles()["Roles"] if one["RoleName"].startswith(f"{lab.name}-")],
        "logs": [one for one in logs.describe_log_groups()["logGroups"] if lab.named("") in one["logGroupName"]],
        "queues": cloud.client("sqs").list_queues(QueueNamePrefix=f"{lab.name}-").get("QueueUrls", []),
        "groups": cloud.client("ec2").describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [f"{lab.name}-*"]}]
        )["SecurityGroups"],
    }
    return {name: things for name, things in found.items() if things}


def find_instances(cloud: Cloud, lab: Deployment) -> list[Any]:
    filters = [
        {"Name": "tag:lablink:deployment", "Values": [lab.name]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
    ]
    found = cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def find_volumes(cloud: Cloud, lab: Deployment) -> list[Any]:
    filters = [{"Name": "tag:Name", "Values": [f"{lab.named('allocator')}-data"]}]
    return list(cloud.client("ec2").describe_volumes(Filters=filters)["Volumes"])


def find_addresses(cloud: Cloud, lab: Deployment) -> list[Any]:
    filters = [{"Name": "tag:lablink:deployment", "Values": [lab.name]}]
    return list(cloud.client("ec2").describe_addresses(Filters=filters)["Addresses"])


def find_alarms(cloud: Cloud, lab: Deployment) -> list[Any]:
    return list(cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{lab.name}-")["MetricAlarms"])


def find_databases(cloud: Cloud, lab: Deployment) -> list[Any]:
    try:
        found = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=lab.named("database"))
    except ClientError:
        return []
    return list(found["DBInstances"])


def find_records(cloud: Cloud, start: str) -> list[Any]:
    route53 = cloud.client("route53")
    zones = [one["Id"] for one in route53.list_hosted_zones()["HostedZones"]]
    listed = [
        one for zone in zones for one in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    ]
    return [one for one in listed if one["Name"].startswith(start) and one["Type"] == "A"]


def open_ports(cloud: Cloud, group: str) -> set[tuple[int, str]]:
    """Port and source of every rule; another security group is `sg`."""
    ec2 = cloud.client("ec2")
    (found,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [group]}])["SecurityGroups"]
    return {
        (rule["FromPort"], source)
        for rule in found["IpPermissions"]
        for source in [
            *(span["CidrIp"] for span in rule["IpRanges"]),
            *(span["CidrIpv6"] for span in rule["Ipv6Ranges"]),
            *("sg" for _ in rule["UserIdGroupPairs"]),
        ]
    }


def check_picture(lab: Deployment) -> None:
    """What pictures draw of the document is what Terraform made of it, data sources included."""
    facts = Facts(parse_lab((lab.folder / "lablink.yaml").read_text()).lab, *(ROOT / name for name in FOLDERS))
    made = {
        (resource["mode"], resource["type"], resource["name"]): len(resource["instances"])
        for resource in lab.state()["resources"]
    }
    drawn = {(MODES[one.kind], one.type, one.name): len(one.instances) for one in facts.allocator.made.values()}
    drawn.pop(("data", "aws_ami", "ubuntu"))  # the tests give an AMI
    assert drawn == made
