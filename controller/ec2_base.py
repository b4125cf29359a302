"""What EC2 and IAM know of a pool's base under its names: found, to be adopted or told of, its key pair renewed, and what was added taken away. Used by `controller.ec2`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from schemas.tfstate import canonical_json, key_body, tag_texts

T = TypeVar("T")

OWN_POLICY = "telemetry"
"""Name of the one policy of the role in terraform/pool."""
ABSENT = ("NoSuchEntity", "InvalidKeyPair.NotFound", "InvalidGroup.NotFound")


@dataclass(frozen=True, slots=True)
class FoundBase:
    """`parts` by the keys of `var.adopt` in terraform/pool, and what was added to them: rules, policies of the role.

    `texts` are what the parts say, named as in `TfState.texts`; empty where a part has none.
    """

    parts: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def find_base(ec2: Any, iam: Any, name: str, iam_name: str) -> FoundBase:
    found = FoundBase()
    _take_group(found, ec2, name)
    _take_role(found, iam, iam_name)
    if profile := _get(lambda: iam.get_instance_profile(InstanceProfileName=iam_name)["InstanceProfile"]):
        found.parts["instance_profile"] = iam_name
        found.texts["role of the instance profile"] = " and ".join(role["RoleName"] for role in profile["Roles"])
        found.texts.update(_read_tags("instance profile", profile))
    if pairs := _get(lambda: ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]):
        found.parts["key_pair"] = name
        found.texts.update(_read_tags("key pair", pairs[0]))
        found.texts["public key of the key pair"] = key_body(pairs[0].get("PublicKey", ""))
    return found


def _take_role(found: FoundBase, iam: Any, name: str) -> None:
    role = _get(lambda: iam.get_role(RoleName=name)["Role"])
    if role is None:
        return
    found.parts["role"] = name
    found.texts["trust of the role"] = canonical_json(role["AssumeRolePolicyDocument"])
    found.texts["boundary of the role"] = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
    found.texts.update(_read_tags("role", role))
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        found.parts["role_policy" if policy == OWN_POLICY else f"inline:{policy}"] = f"{name}:{policy}"
    if "role_policy" in found.parts:
        policy = iam.get_role_policy(RoleName=name, PolicyName=OWN_POLICY)
        found.texts["policy of the role"] = canonical_json(policy["PolicyDocument"])
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        found.parts[f"attached:{policy['PolicyArn']}"] = policy["PolicyArn"]


def renew_key_pair(ec2: Any, name: str, public_key: str) -> None:
    """A pair with another public half gives way to one with this and the same tags."""
    (pair,) = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    if key_body(pair.get("PublicKey") or public_key) == key_body(public_key):
        return
    ec2.delete_key_pair(KeyName=name)
    tags = [tag for tag in pair.get("Tags", []) if not tag["Key"].startswith("aws:")]
    specification = [{"ResourceType": "key-pair", "Tags": tags}] if tags else []
    ec2.import_key_pair(KeyName=name, PublicKeyMaterial=public_key.encode(), TagSpecifications=specification)


def revoke_rules(ec2: Any, group_id: str, rules: Mapping[str, Sequence[str]]) -> None:
    for way, ids in rules.items():
        if ids:
            getattr(ec2, f"revoke_security_group_{way}")(GroupId=group_id, SecurityGroupRuleIds=list(ids))


def strip_role(iam: Any, name: str, attached: Sequence[str], inline: Sequence[str]) -> None:
    """Managed policies by their ARNs, others as `ROLE:POLICY`."""
    for arn in attached:
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for policy in inline:
        iam.delete_role_policy(RoleName=name, PolicyName=policy.partition(":")[2])


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _take_group(found: FoundBase, ec2: Any, name: str) -> None:
    """The group of that name in the default VPC, with its rules by network."""
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        return
    filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}]
    for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        found.parts["security_group"] = group["GroupId"]
        found.texts.update(_read_tags("security group", group))
        of_group = [{"Name": "group-id", "Values": [group["GroupId"]]}]
        for page in ec2.get_paginator("describe_security_group_rules").paginate(Filters=of_group):
            found.parts.update(_read_rule(rule) for rule in page["SecurityGroupRules"])


def _read_rule(rule: Mapping[str, Any]) -> tuple[str, str]:
    """Those that `terraform/pool` makes by their network, any other (`rule:`) by what it opens."""
    network, way = rule.get("CidrIpv4") or rule.get("CidrIpv6"), "egress" if rule["IsEgress"] else "ingress"
    protocol, low, high = rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort")
    made = protocol == "-1" if rule["IsEgress"] else (protocol, low, high) == ("tcp", 22, 22)
    if network and made:
        return f"{way}:{network}", rule["SecurityGroupRuleId"]
    peer = network or rule.get("ReferencedGroupInfo", {}).get("GroupId") or rule.get("PrefixListId")
    return f"rule:{way} {protocol} {low}-{high} {peer}", rule["SecurityGroupRuleId"]


def _read_tags(part: str, described: Mapping[str, Any]) -> dict[str, str]:
    return tag_texts(part, {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])})


def _get(call: Callable[[], T]) -> T | None:
    try:
        return call()
    except ClientError as error:
        if code_of(error) in ABSENT:
            return None
        raise
