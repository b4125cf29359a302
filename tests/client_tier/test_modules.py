"""`terraform/pool` and `terraform/vms` with the real Terraform: what they make, leave alone and refuse."""

import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.client_vm import read_user_data
from tests.client_tier.conftest import Cloud
from tests.client_tier.module import BASE, PLACE, POOL, TERRAFORM, Module, read_actions, shard, token_of, vm

OpenModule = Callable[[str], Module]


@pytest.fixture(scope="module")
def base(open_module: OpenModule) -> Module:
    module = open_module("pool")
    module.apply(POOL)
    return module


@pytest.fixture(scope="module")
def launched(open_module: OpenModule, base: Module) -> Module:
    """A shard of two: `on-demand-1` and `spot-1`."""
    module = open_module("vms")
    module.apply(two_vms(base))
    return module


def two_vms(base: Module) -> dict[str, Any]:
    vms = {"on-demand-1": vm("echo hello\n", zone="us-west-2b"), "spot-1": vm(market="spot")}
    return shard(vms, base=base.read_outputs())


def test_files_are_formatted() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    command = ["terraform", "fmt", "-check", "-recursive", "-no-color", str(TERRAFORM)]
    checked = subprocess.run(command, text=True, capture_output=True, env=environment, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("name", ["pool", "vms"])
def test_modules_are_valid_by_the_providers_schema(open_module: OpenModule, name: str) -> None:
    verdict = json.loads(open_module(name).run("validate", "-json").stdout)
    assert (verdict["valid"], verdict["diagnostics"]) == (True, [])


def test_base_lets_in_ssh_from_the_named_addresses_alone(cloud: Cloud, base: Module) -> None:
    group_id = base.read_outputs()["security_group_id"]
    group = cloud.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    (ssh,) = merge_ports(group["IpPermissions"]).items()
    assert ssh == (("tcp", 22, 22), {"192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"})
    assert {cidr for cidrs in merge_ports(group["IpPermissionsEgress"]).values() for cidr in cidrs} == {
        "0.0.0.0/0",
        "::/0",
    }


def merge_ports(permissions: list[Any]) -> dict[tuple[str, int | None, int | None], set[str]]:
    merged: dict[tuple[str, int | None, int | None], set[str]] = {}
    for one in permissions:
        key = (one["IpProtocol"], one.get("FromPort"), one.get("ToPort"))
        cidrs = {span["CidrIp"] for span in one.get("IpRanges", [])}
        cidrs |= {span["CidrIpv6"] for span in one.get("Ipv6Ranges", [])}
        merged.setdefault(key, set()).update(cidrs)
    return merged


def test_role_may_write_to_its_log_group_and_namespace_and_nothing_else(open_module: OpenModule) -> None:
    resources = open_module("pool").plan(POOL)["planned_values"]["root_module"]["resources"]
    (policy,) = [r["values"]["policy"] for r in resources if r["type"] == "aws_iam_role_policy"]
    logs, gauges = json.loads(policy)["Statement"]
    assert set(logs["Action"]) == {"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}
    assert logs["Resource"] == POOL["log_group_arn"]
    assert gauges["Action"] == "cloudwatch:PutMetricData"
    assert gauges["Condition"] == {"StringEquals": {"cloudwatch:namespace": "LabLink"}}


def test_iam_names_carry_the_region_and_keep_to_64_characters(open_module: OpenModule) -> None:
    module = open_module("pool")
    long = {**POOL, "deployment": "d" * 32, "pool": "p" * 32, "environment": "e" * 20}
    names = []
    for region in ("us-west-2", "us-west-1"):
        resources = module.plan({**long, "region": region})["planned_values"]["root_module"]["resources"]
        names += [r["values"]["name"] for r in resources if r["type"] == "aws_iam_role"]
    assert [len(name) for name in names] == [64, 64]
    assert names[0] != names[1]


def test_another_cidr_touches_its_rule_alone(base: Module) -> None:
    actions = read_actions(base.plan({**POOL, "ssh_ingress": ["192.0.2.0/24", "203.0.113.0/24"]}))
    rule = "aws_vpc_security_group_ingress_rule.ssh"
    assert actions == {f'{rule}["203.0.113.0/24"]': "create", f'{rule}["2001:db8::/32"]': "delete"}


def test_base_is_not_made_anew_for_a_public_key_that_reads_differently(base: Module) -> None:
    """As after an import: AWS does not give the key back."""
    assert read_actions(base.plan({**POOL, "public_key": POOL["public_key"].replace("IGJty", "IGJtz")})) == {}


def test_base_left_by_a_killed_run_is_imported_whole(cloud: Cloud, open_module: OpenModule) -> None:
    module = open_module("pool")
    variables = {**POOL, "pool": "killed"}
    module.apply(variables)
    group_id = module.read_outputs()["security_group_id"]
    rules = cloud.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
    adopt = {
        "security_group": group_id,
        "role": "lablink-killed-test-us-west-2",
        "role_policy": "lablink-killed-test-us-west-2:telemetry",
        "instance_profile": "lablink-killed-test-us-west-2",
        "key_pair": "lablink-killed-test",
    }
    for rule in rules["SecurityGroupRules"]:
        cidr = rule.get("CidrIpv4") or rule.get("CidrIpv6")
        adopt[f"{'egress' if rule['IsEgress'] else 'ingress'}:{cidr}"] = rule["SecurityGroupRuleId"]
    module.forget()
    actions = read_actions(module.plan({**variables, "adopt": adopt}))
    assert set(actions.values()) == {"import"}, actions
    assert len(actions) == 10
    module.apply({**variables, "adopt": adopt})
    assert read_actions(module.plan(variables)) == {}


def test_launch_is_named_tagged_encrypted_and_imdsv2_only(cloud: Cloud, launched: Module, base: Module) -> None:
    outputs = base.read_outputs()
    instance = find_instance(cloud, launched, "on-demand-1")
    assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == {
        "Name": "on-demand-1",
        "lablink:deployment": "lablink",
        "lablink:deployment-id": PLACE["deployment_id"],
        "lablink:environment": "test",
        "lablink:pool": "client",
        "lablink:hostname": "on-demand-1",
        "lablink:generation": "3",
    }
    assert instance["Placement"]["AvailabilityZone"] == "us-west-2b"
    assert instance["KeyName"] == outputs["key_name"]
    assert instance["IamInstanceProfile"]["Arn"].endswith(f"/{outputs['instance_profile']}")
    assert [group["GroupId"] for group in instance["NetworkInterfaces"][0]["Groups"]] == [outputs["security_group_id"]]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = instance["BlockDeviceMappings"]
    volume = cloud.ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"][0]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (50, "gp3", True)


def test_simulated_clients_read_the_environment_back_from_ec2(cloud: Cloud, launched: Module) -> None:
    instance_id = launched.read_outputs()["instance_ids"]["on-demand-1"]
    kept = cloud.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")["UserData"]["Value"]
    environment = read_user_data(kept)
    assert environment["VM_NAME"] == "on-demand-1"
    assert environment["API_TOKEN"] == token_of("on-demand-1")


def find_instance(cloud: Cloud, module: Module, hostname: str) -> Any:
    instance_id = module.read_outputs()["instance_ids"][hostname]
    return cloud.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def test_only_spot_vms_ask_for_the_spot_market(open_module: OpenModule) -> None:
    plan = open_module("vms").plan(shard({"a-1": vm(), "a-2": vm(market="spot")}))
    planned = {r["index"]: r["values"] for r in plan["planned_values"]["root_module"]["resources"]}
    assert planned["a-1"].get("instance_market_options", []) == []
    assert planned["a-1"]["instance_initiated_shutdown_behavior"] == "stop"
    (market,) = planned["a-2"]["instance_market_options"]
    assert (market["market_type"], market["spot_options"][0]["spot_instance_type"]) == ("spot", "one-time")


def test_vms_come_and_go_one_by_one(launched: Module, base: Module) -> None:
    variables = two_vms(base)
    vms = {"on-demand-1": variables["vms"]["on-demand-1"], "on-demand-2": vm()}
    actions = read_actions(launched.plan(shard(vms, base=variables["base"])))
    assert actions == {'aws_instance.vm["spot-1"]': "delete", 'aws_instance.vm["on-demand-2"]': "create"}


def test_a_made_vm_is_never_changed(launched: Module) -> None:
    other = vm(
        ami="ami-0123456789abcdef0", instance_type="g5.xlarge", image="other/image:2", generation=4, volume_size=99
    )
    changed = shard({"on-demand-1": other, "spot-1": {**other, "market": "spot"}}, base=BASE, environment="prod")
    changed["tokens"] = dict.fromkeys(changed["vms"], "another.token.0123456789")
    assert read_actions(launched.plan(changed)) == {}


def test_instances_left_by_a_killed_run_are_imported(open_module: OpenModule, base: Module) -> None:
    module = open_module("vms")
    vms = {"left-1": vm(), "left-2": vm()}
    module.apply(shard(vms, base=base.read_outputs()))
    ids = module.read_outputs()["instance_ids"]
    module.forget()
    actions = read_actions(module.plan(shard({**vms, "new-1": vm()}, adopt=ids)))
    assert actions == {
        'aws_instance.vm["left-1"]': "import",
        'aws_instance.vm["left-2"]': "import",
        'aws_instance.vm["new-1"]': "create",
    }


def test_no_token_reaches_an_output_or_what_terraform_prints(open_module: OpenModule, base: Module) -> None:
    module = open_module("vms")
    variables = shard({"quiet-1": vm()}, base=base.read_outputs())
    printed = module.refuse_or_plan(variables).stdout + module.apply(variables) + json.dumps(module.read_outputs())
    assert token_of("quiet-1") not in printed


def test_a_start_up_script_too_long_for_ec2_is_refused_by_name(open_module: OpenModule) -> None:
    noise = urllib.parse.quote(os.urandom(20_000))  # as good as incompressible
    refused = open_module("vms").refuse_or_plan(shard({"long-1": vm(startup_script=noise)}))
    assert refused.returncode == 1
    assert "The user data of long-1 exceed EC2's 16 KiB" in " ".join(refused.stderr.split())


def test_a_start_up_script_of_thirty_kilobytes_of_text_fits(open_module: OpenModule) -> None:
    lines = [f"echo 'step {n}: install package number {n * 7919 % 10007}'\n" for n in range(700)]
    script = "".join(lines)
    assert len(script) > 30_000
    assert open_module("vms").refuse_or_plan(shard({"fits-1": vm(startup_script=script)})).returncode == 0


BAD_VM = {
    "ami": "latest",
    "instance_type": "large",
    "zone": "b",
    "market": "free",
    "volume_size": 4,
    "generation": 1.5,
    "image": "--privileged",
    "repository": "https://x\nAPI_TOKEN=mine",
    "startup_script": "not base64!",
    "startup_on_error": "ignore",
    "allocator_url": "ftp://x",
    "allocator_host": "a b",
    "log_group": "",
    "log_region": "here",
}


@pytest.mark.parametrize("field", BAD_VM)
def test_every_field_of_a_vm_is_checked(vm_refusals: str, field: str) -> None:
    assert f"{field} must " in vm_refusals or f"{field}, " in vm_refusals or f"{field} 8 to" in vm_refusals


@pytest.fixture(scope="module")
def vm_refusals(open_module: OpenModule) -> str:
    """What Terraform says of a VM of which every field is wrong."""
    refused = open_module("vms").refuse_or_plan(shard({"Bad_": vm() | BAD_VM}))
    assert refused.returncode == 1
    text = " ".join(refused.stderr.split())
    assert "A key of vms must be a host name" in text
    return text


SHARE_A_RULE = ("repository", "software", "extension")


@pytest.mark.parametrize("shared", SHARE_A_RULE)
def test_a_line_break_is_refused_in_every_text_of_a_vm(open_module: OpenModule, shared: str) -> None:
    """It would begin another line of client.env. The start-up script, of many lines, goes in base64: test_user_data.py."""
    texts = {name for name, value in vm().items() if isinstance(value, str)} - {*SHARE_A_RULE, "startup_script"} | {
        shared
    }
    broken = {name: f"{vm()[name]}\nLABLINK_GPU=${{1}}" for name in texts}
    refused = open_module("vms").refuse_or_plan(shard({"broken-1": vm(**broken)}))
    text = " ".join(refused.stderr.split())
    assert [name for name in texts if not re.search(rf"\b{name}( must|,| and) ", text)] == []


def test_every_other_variable_is_checked(open_module: OpenModule) -> None:
    """A right value with a line more, of a template."""
    bad_place = {name: f"{value}\n${{1}}" for name, value in PLACE.items()}
    refused = open_module("pool").refuse_or_plan(
        {
            **bad_place,
            "ssh_ingress": [f"{POOL['ssh_ingress'][0]}\n${{1}}"],
            **{name: f"{POOL[name]}\n${{1}}" for name in ("allocator_cidr", "public_key", "log_group_arn")},
            "permissions_boundary": "arn:aws:iam::123456789012:policy/x\n${1}",
            "adopt": {"x": "y"},
        }
    )
    text = " ".join(refused.stderr.split())
    assert [name for name in POOL if f"{name} must " not in text] == [], text
    assert "adopt knows" in text

    bad = {**bad_place, "tokens": {"a": "short"}, "adopt": {"a": "x"}, "base": dict.fromkeys(BASE, "")}
    text = " ".join(open_module("vms").refuse_or_plan(shard({}, **bad)).stderr.split())
    expected = [
        *(f"{name} must " for name in PLACE),
        "A token must be",
        "adopt must map",
        "base.security_group_id must",
    ]
    assert [sentence for sentence in expected if sentence not in text] == []
