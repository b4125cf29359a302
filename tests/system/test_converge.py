"""A controller process, the real Terraform, and moto: what is declared comes to be, and stays so."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.system.lab import REGION, Lab, open_lab


@pytest.fixture
def lab(dsn: str, tmp_path: Path) -> Iterator[Lab]:
    with open_lab(dsn, tmp_path) as lab:
        yield lab


def test_sizes_one_five_three_touch_only_what_changed(lab: Lab) -> None:
    lab.declare(1)
    lab.start_controller()
    lab.wait_for_size(1)
    first = lab.live()
    lab.declare(5)
    lab.wait_for_size(5)
    assert set(first) <= set(lab.live())
    five = lab.live()
    calls = lab.calls()
    assert calls["RunInstances"] == 5
    lab.declare(3)
    lab.wait_for_size(3)
    assert set(lab.live()) <= set(five)
    calls = lab.calls()
    assert (calls["RunInstances"], calls["TerminateInstances"]) == (5, 2)
    assert calls.get("ModifyInstanceAttribute", 0) == 0


def test_an_instance_terminated_behind_our_back_comes_back_under_a_new_name(lab: Lab) -> None:
    lab.declare(3)
    lab.start_controller()
    lab.wait_for_size(3)
    lost = lab.terminate_one()
    lab.wait("the lost one to be noticed", lambda: lost not in lab.present())
    lab.wait_for_size(3)
    assert lost not in lab.live()


def test_at_rest_no_terraform_runs_and_nothing_is_written(lab: Lab) -> None:
    lab.declare(2)
    lab.start_controller()
    lab.wait_for_size(2)
    lab.wait("the last run to be over", lambda: not lab.rows("SELECT FROM run WHERE ended_at IS NULL"))
    lab.wait("a quiet second", lambda: quiet(lab))
    before = (lab.row("SELECT max(id) AS n FROM run"), lab.row(WRITTEN))
    begun = lab.row("SELECT expires_at FROM lease")
    lab.wait(
        "20 ticks", lambda: (lab.row("SELECT expires_at FROM lease")["expires_at"] - begun["expires_at"]).seconds >= 20
    )
    assert (lab.row("SELECT max(id) AS n FROM run"), lab.row(WRITTEN)) == before


WRITTEN = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) AS n, pg_stat_clear_snapshot() FROM pg_stat_user_tables
 WHERE relname <> 'lease'
"""


def quiet(lab: Lab) -> bool:
    before = lab.row(WRITTEN)
    lab.wait("two ticks", TwoLooks(lab))
    return lab.row(WRITTEN) == before


class TwoLooks:
    """True once the lease has been renewed twice."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.begun: datetime = lab.row("SELECT expires_at FROM lease")["expires_at"]

    def __call__(self) -> bool:
        renewed: datetime = self.lab.row("SELECT expires_at FROM lease")["expires_at"]
        return (renewed - self.begun).total_seconds() >= 3


def test_several_pools_converge_at_once_and_a_removed_one_leaves_nothing(lab: Lab) -> None:
    other = "  second:\n    size: 2\n    instance_type: t3.large\n"
    lab.declare(2, other)
    lab.start_controller()
    lab.wait_for_size(4)
    lab.declare(2)
    lab.wait_for_size(2)
    lab.wait("its base to end", lambda: not lab.rows("SELECT FROM base WHERE pool = 'second'"))


def test_an_instance_whose_row_was_lost_is_adopted(lab: Lab) -> None:
    lab.declare(3)
    lab.start_controller()
    lab.wait_for_size(3)
    names = lab.live()
    lab.stop_controllers()
    lab.rows(
        f"WITH s AS (DELETE FROM seat WHERE hostname = '{names[0]}') DELETE FROM vm WHERE hostname = '{names[0]}' RETURNING 1"
    )
    lab.rows("DELETE FROM tf_state WHERE state_key LIKE '%/1' RETURNING 1")
    lab.rows("UPDATE vm SET in_state = false RETURNING 1")
    lab.start_controller()
    lab.wait_for_size(3)
    assert lab.live() == names
    assert lab.calls()["RunInstances"] == 3


def test_what_a_hand_changed_of_a_base_is_told_and_corrected_where_declared(lab: Lab) -> None:
    lab.environment |= {"LABLINK_BASE_LOOK_S": "1"}
    lab.declare(1)
    lab.start_controller()
    lab.wait_for_size(1)
    names, group = lab.live(), lab.row("SELECT outputs->>'security_group_id' AS id FROM base")["id"]
    ec2 = boto3.client("ec2", REGION, endpoint_url=lab.aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    opened: Any = {"IpProtocol": "tcp", "FromPort": 3389, "ToPort": 3389, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[opened])
    of_group: Any = [{"Name": "group-id", "Values": [group]}]
    rules = ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]
    (closed,) = [rule["SecurityGroupRuleId"] for rule in rules if rule.get("CidrIpv6") == "::/0"]
    ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[closed])
    told = "no rule for all that goes to ::/0, rule ingress tcp 3389-3389 0.0.0.0/0 that is not declared"
    lab.wait("the sentence", lambda: told in lab.condition("Drifted").get("message", ""))
    lab.declare(1, "    drift: correct\n")
    lab.wait("its end", lambda: lab.condition("Drifted")["status"] is False)
    rules = ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]
    assert sorted(rule.get("CidrIpv4") or rule["CidrIpv6"] for rule in rules) == ["0.0.0.0/0", "::/0"]
    assert {rule["IpProtocol"] for rule in rules} == {"-1"}
    assert lab.live() == names
    assert lab.calls()["RunInstances"] == 1


def test_what_a_hand_lets_the_vms_of_a_base_do_is_told_and_corrected_where_declared(lab: Lab) -> None:
    lab.environment |= {"LABLINK_BASE_LOOK_S": "1"}
    lab.declare(1)
    lab.start_controller()
    lab.wait_for_size(1)
    names = lab.live()
    iam = boto3.client("iam", REGION, endpoint_url=lab.aws.url, aws_access_key_id="t", aws_secret_access_key="t")
    role = lab.row("SELECT outputs->>'instance_profile' AS name FROM base")["name"]
    before = read_role(iam, role)
    grown = {**before["policy"], "Statement": [*before["policy"]["Statement"], ALL]}
    iam.put_role_policy(RoleName=role, PolicyName="telemetry", PolicyDocument=json.dumps(grown))
    iam.put_role_policy(RoleName=role, PolicyName="mine", PolicyDocument=json.dumps({**grown, "Statement": [ALL]}))
    managed = iam.create_policy(PolicyName="admin", PolicyDocument=json.dumps({**grown, "Statement": [ALL]}))
    iam.attach_role_policy(RoleName=role, PolicyArn=managed["Policy"]["Arn"])
    trust = {
        "Version": "2012-10-17",
        "Statement": [{**TRUSTED, "Principal": {"AWS": "arn:aws:iam::999999999999:root"}}],
    }
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    iam.tag_role(RoleName=role, Tags=[{"Key": "lablink:pool", "Value": "other"}])
    differences = (
        f"policy attached to the role: {managed['Policy']['Arn']} that is not declared",
        "policy in the role: mine that is not declared",
        f"policy of the role says also {json.dumps(ALL, sort_keys=True)}",
        "trust of the role says also",
        "tag lablink:pool of the role other instead of",
    )
    lab.wait("the sentences", lambda: all(told in lab.condition("Drifted").get("message", "") for told in differences))
    lab.declare(1, "    drift: correct\n")
    lab.wait("its end", lambda: lab.condition("Drifted")["status"] is False)
    assert read_role(iam, role) == before
    assert lab.live() == names


ALL = {"Action": "*", "Effect": "Allow", "Resource": "*", "Sid": "Mine"}
TRUSTED = {"Action": "sts:AssumeRole", "Effect": "Allow"}


def read_role(iam: Any, name: str) -> dict[str, Any]:
    role = iam.get_role(RoleName=name)["Role"]
    return {
        "policy": iam.get_role_policy(RoleName=name, PolicyName="telemetry")["PolicyDocument"],
        "policies": iam.list_role_policies(RoleName=name)["PolicyNames"],
        "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        "trust": role["AssumeRolePolicyDocument"],
        "tags": sorted((tag["Key"], tag["Value"]) for tag in role["Tags"]),
    }
