"""What EC2 and IAM know of a pool's base under its names: found, to be adopted or told of, its key pair renewed, and what was added taken away. Used by `controller.ec2`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

ABSENT = ("NoSuchEntity", "InvalidKeyPair.NotFound", "InvalidGroup.NotFound")


def find_base(ec2: Any, iam: Any, name: str, iam_name: str) -> dict[str, str]:
    """By the keys of `var.adopt` in terraform/pool, and rules that it does not make."""
    found = dict(_find_group(ec2, name))
    if _exists(lambda: iam.get_role(RoleName=iam_name)):
        found["role"] = iam_name
        if _exists(lambda: iam.get_role_policy(RoleName=iam_name, PolicyName="telemetry")):
            found["role_policy"] = f"{iam_name}:telemetry"
    if _exists(lambda: iam.get_instance_profile(InstanceProfileName=iam_name)):
        found["instance_profile"] = iam_name
    if _exists(lambda: ec2.describe_key_pairs(KeyNames=[name])):
        found["key_pair"] = name
    return found


def renew_key_pair(ec2: Any, name: str, public_key: str) -> None:
    """A pair with another public half gives way to one with this and the same tags."""
    (pair,) = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    if _body_of(pair.get("PublicKey") or public_key) == _body_of(public_key):
        return
    ec2.delete_key_pair(KeyName=name)
    tags = [tag for tag in pair.get("Tags", []) if not tag["Key"].startswith("aws:")]
    specification = [{"ResourceType": "key-pair", "Tags": tags}] if tags else []
    ec2.import_key_pair(KeyName=name, PublicKeyMaterial=public_key.encode(), TagSpecifications=specification)


def revoke_rules(ec2: Any, group_id: str, rules: Mapping[str, Sequence[str]]) -> None:
    for way, ids in rules.items():
        if ids:
            getattr(ec2, f"revoke_security_group_{way}")(GroupId=group_id, SecurityGroupRuleIds=list(ids))


def _body_of(public_key: str) -> list[str]:
    """Kind and key without the comment, which EC2 does not keep."""
    return public_key.split()[:2]


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _find_group(ec2: Any, name: str) -> Iterator[tuple[str, str]]:
    """The group of that name in the default VPC, with its rules by network."""
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        return
    filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}]
    for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        yield "security_group", group["GroupId"]
        of_group = [{"Name": "group-id", "Values": [group["GroupId"]]}]
        for page in ec2.get_paginator("describe_security_group_rules").paginate(Filters=of_group):
            for rule in page["SecurityGroupRules"]:
                yield from _read_rule(rule)


def _read_rule(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those that `terraform/pool` makes by their network, any other (`rule:`) by what it opens."""
    network, way = rule.get("CidrIpv4") or rule.get("CidrIpv6"), "egress" if rule["IsEgress"] else "ingress"
    protocol, low, high = rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort")
    made = protocol == "-1" if rule["IsEgress"] else (protocol, low, high) == ("tcp", 22, 22)
    if network and made:
        yield f"{way}:{network}", rule["SecurityGroupRuleId"]
        return
    peer = network or rule.get("ReferencedGroupInfo", {}).get("GroupId") or rule.get("PrefixListId")
    yield f"rule:{way} {protocol} {low}-{high} {peer}", rule["SecurityGroupRuleId"]


def _exists(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        if code_of(error) in ABSENT:
            return False
        raise
    return True
