"""Least privilege: every policy of the tier is parsed, and each action and resource has to be one that is needed."""

import json
import re
from pathlib import Path
from typing import Any

from policy_sentry.querying.actions import get_action_data

from tests.infrastructure.needed_actions import NEEDED, PROVIDER
from tests.infrastructure.world import Cloud, Deployment

ROOT = Path(__file__).resolve().parents[2]
Policies = dict[str, dict[str, Any]]


def apply_policies(cloud: Cloud, folder: Path) -> Policies:
    """All policies of a deployment that asks for everything: both databases cannot be, so it is planned twice."""
    found: Policies = {}
    image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/lablink:1"
    topic = {"sns": "arn:aws:sns:us-west-2:123456789012:alarms", "on": ["PoolStalled"]}
    for mode in ("embedded", "rds"):
        document: dict[str, Any] = {
            "pools": {"client": {}},
            "database": {"mode": mode, **({"instance_class": "db.t4g.small"} if mode == "rds" else {})},
            "allocator": {"image": image},
            "backup": {"bucket": "iam-backups"},
            "state": {"backend": "s3", "bucket": "iam-states", "lock": "dynamodb"},
        }
        lab = Deployment(cloud, folder / mode, f"iam{mode}", document)
        lab.write()
        (lab.copy.allocator / "backend.tf").write_text("")
        lab.add_line(f"notify: {json.dumps([topic])}")  # beyond what the models accept today
        lab.apply(
            "-target=aws_iam_role_policy.allocator",
            "-target=aws_iam_role_policy.lambda",
            *(["-target=aws_iam_role_policy.snapshots"] if mode == "embedded" else []),
        )
        found |= {f"{mode}.{name}": policy for name, policy in lab.policies().items()}
        lab.run("destroy", "-auto-approve")
    return found


def test_policies_allow_what_is_needed_and_nothing_else(cloud: Cloud, tmp_path: Path) -> None:
    policies = apply_policies(cloud, tmp_path)
    check_every_policy_is_looked_at(policies)
    check_no_action_has_a_star_and_none_is_unneeded(policies)
    check_no_needed_action_is_missing(policies)
    check_every_resource_is_named_where_aws_takes_a_name(policies)
    check_a_role_can_be_made_with_the_boundary_alone_and_never_the_allocators_own(policies)
    check_the_keys_alone_can_be_written(policies)


def statements(policies: Policies) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{name}: {one.get('Sid', '')}", one) for name, policy in policies.items() for one in policy["Statement"]]


def as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def check_every_policy_is_looked_at(policies: Policies) -> None:
    names = {re.sub(r"^(embedded|rds)\.", "", name) for name in policies}
    assert {
        'aws_iam_role_policy.allocator["fleet"].policy',
        'aws_iam_role_policy.allocator["own"].policy',
        "aws_iam_role_policy.lambda[0].policy",
        "aws_iam_role_policy.snapshots[0].policy",
        "aws_iam_policy.client_boundary.policy",
    } - {name.replace("lambda.policy", "lambda[0].policy") for name in names} == set()


def check_no_action_has_a_star_and_none_is_unneeded(policies: Policies) -> None:
    allowed = {a for _, one in statements(policies) if one["Effect"] == "Allow" for a in as_list(one["Action"])}
    assert {action for action in allowed if "*" in action} == set()
    assert allowed - NEEDED == set()


def check_no_needed_action_is_missing(policies: Policies) -> None:
    allowed = {a for _, one in statements(policies) if one["Effect"] == "Allow" for a in as_list(one["Action"])}
    assert NEEDED - allowed == set()


def check_every_resource_is_named_where_aws_takes_a_name(policies: Policies) -> None:
    loose = []
    for where, one in statements(policies):
        if one["Effect"] != "Allow" or "*" not in as_list(one.get("Resource", [])):
            continue
        loose += [f"{where}: {action}" for action in as_list(one["Action"]) if takes_arn(action)]
    assert loose == []


def takes_arn(action: str) -> bool:
    """Whether AWS's own list has a resource type for it (policy-sentry keeps that list)."""
    service, name = action.split(":")
    return any(known["resource_arn_format"] != "*" for known in get_action_data(service, name)[service])


def test_every_action_exists_in_aws() -> None:
    unknown = [action for action in sorted(NEEDED) if not get_action_data(*action.split(":"))]
    assert unknown == []


def test_the_table_names_every_type_of_the_client_tier() -> None:
    text = "".join(path.read_text() for path in (ROOT / "terraform").rglob("*.tf"))
    used = {
        f"{'data.' if kind == 'data' else ''}{name}"
        for kind, name in re.findall(r'^(resource|data) "(\w+)"', text, re.M)
    }
    assert used == set(PROVIDER)


def check_a_role_can_be_made_with_the_boundary_alone_and_never_the_allocators_own(policies: Policies) -> None:
    fleet = {one["Sid"]: one for one in policies['embedded.aws_iam_role_policy.allocator["fleet"].policy']["Statement"]}
    assert fleet["MakeRoles"]["Condition"]["StringEquals"]["iam:PermissionsBoundary"].endswith("-client-boundary-test")
    makers = [sid for sid, one in fleet.items() if one["Effect"] == "Allow" and "iam:PutRolePolicy" in one["Action"]]
    assert makers == ["MakeRoles"]
    assert any(arn.endswith("role/iamembedded-allocator-test") for arn in fleet["NotItself"]["Resource"])


def check_the_keys_alone_can_be_written(policies: Policies) -> None:
    own = {one["Sid"]: one for one in policies['embedded.aws_iam_role_policy.allocator["own"].policy']["Statement"]}
    assert sorted(arn.rpartition("/")[2] for arn in own["Keys"]["Resource"]) == [
        "deployment_secret", "encryption_key", "encryption_key_previous",
    ]  # fmt: skip
