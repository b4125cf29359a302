"""Every simulated type through the real terraform: judged, planned, applied, imported, changed, destroyed."""

import json

import pytest

from sandbox.aws_provider.catalog import DATA_SOURCE_CLASSES, RESOURCE_CLASSES, read_catalog
from sandbox.aws_provider.schema import unknown_names
from tests.terraform.provider.lab import DATA, IMPORTS, RESOURCES, SPOT
from tests.terraform.provider.world import Folder, World


def _lab(world: World, hcl: str = RESOURCES) -> Folder:
    world.client("ssm").put_parameter(Name="/lab/image", Value="ami-1", Type="String")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}
    policy = world.client("iam").create_policy(PolicyName="agent", PolicyDocument=json.dumps(document))["Policy"]
    return world.folder("lab", DATA + hcl, TF_VAR_policy_arn=policy["Arn"])


def test_every_class_fits_the_published_schema() -> None:
    catalog = read_catalog()
    assert {item.type_name for item in RESOURCE_CLASSES} <= set(catalog.resources)
    assert {item.type_name for item in DATA_SOURCE_CLASSES} <= set(catalog.data_sources)
    for item in RESOURCE_CLASSES:
        assert unknown_names(catalog.resources[item.type_name].block, item.rules) == set(), item.type_name


def test_validate_judges_files_by_the_real_schema(world: World) -> None:
    folder = world.folder(
        "wrong",
        """
resource "aws_instance" "vm" {
  ami            = "ami-1"
  instance_state = "running"
  colour         = "red"
}
resource "aws_instance" "nothing" {}
""",
    )
    errors = json.loads(folder.run("validate", "-json").output)["diagnostics"]
    said = " ".join(error["summary"] + " " + error.get("detail", "") for error in errors)
    assert 'An argument named "colour" is not expected here' in said
    assert "One of `ami` or `launch_template` must be specified" in said
    folder.write('resource "aws_instance" "vm" {\n  ami = "ami-1"\n  instance_state = "running"\n}')
    assert 'Can\'t configure a value for "instance_state"' in folder.run("validate", "-no-color").output.replace(
        "\n", " "
    )


def test_validate_waits_for_what_is_not_known_yet(world: World) -> None:
    folder = world.folder(
        "later",
        """
variable "cidrs" { type = set(string) }
resource "aws_security_group" "lab" { name = "lab" }
resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each          = var.cidrs
  security_group_id = aws_security_group.lab.id
  ip_protocol       = "-1"
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
}
""",
    )
    folder.succeed("validate")
    folder.write('cidrs = ["0.0.0.0/0", "::/0"]\n', "terraform.tfvars")
    folder.apply()
    assert folder.plan_exit_code().exit_code == 0


def test_all_types_are_applied_planned_empty_and_destroyed(world: World) -> None:
    folder = _lab(world, RESOURCES + SPOT)
    folder.succeed("validate")
    folder.apply()
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output
    made = folder.resources()
    vm = made['aws_instance.vm["a"]']
    assert vm["root_block_device"][0]["volume_size"] == 50
    assert vm["root_block_device"][0]["encrypted"]
    assert vm["metadata_options"][0]["http_tokens"] == "required"
    assert vm["tags_all"] == {"Name": "a", "team": "blue", "lablink:environment": "test"}
    assert vm["vpc_security_group_ids"] == [made["aws_security_group.lab"]["id"]]
    assert vm["availability_zone"] == "us-west-2a"
    assert vm["instance_state"] == "running"
    assert vm["public_ip"]
    assert made["aws_instance.spot"]["instance_lifecycle"] == "spot"
    assert made["aws_instance.spot"]["ebs_block_device"][0]["volume_size"] == 10
    assert made["data.aws_caller_identity.me"]["account_id"] == "123456789012"
    assert made["data.aws_region.here"]["description"] == "US West (Oregon)"
    assert made["data.aws_partition.here"]["reverse_dns_prefix"] == "com.amazonaws"
    assert made["data.aws_ssm_parameter.image"]["value"] == "ami-1"
    assert len(made["data.aws_subnets.default"]["ids"]) == len(made["data.aws_availability_zones.open"]["names"])
    folder.succeed("destroy", "-auto-approve")
    assert world.instances() == {}
    assert world.client("iam").list_roles()["Roles"] == []
    assert world.client("logs").describe_log_groups()["logGroups"] == []


def test_what_is_imported_needs_no_change(world: World) -> None:
    folder = _lab(world)
    folder.apply()
    made = folder.resources()
    (folder.path / "terraform.tfstate").unlink()
    instances = {key: made[f'aws_instance.vm["{key}"]']["id"] for key in "ab"}
    blocks = f"""
import {{
  for_each = {json.dumps(instances)}
  to       = aws_instance.vm[each.key]
  id       = each.value
}}
"""
    for address in (
        "aws_security_group.lab",
        "aws_security_group.inline",
        "aws_vpc_security_group_ingress_rule.ssh",
        "aws_vpc_security_group_egress_rule.all",
    ):
        blocks += f'import {{\n  to = {address}\n  id = "{made[address]["id"]}"\n}}\n'
    folder.write(IMPORTS + blocks, "imports.tf")
    imported = folder.succeed("apply", "-auto-approve", "-no-color")
    assert "12 imported, 0 added, 0 changed, 0 destroyed" in imported.output, imported.output
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output


def test_changes_are_made_in_place_and_then_rest(world: World) -> None:
    folder = _lab(world)
    folder.apply()
    before = folder.resources()
    folder.write('days = 14\nsize = "t3.large"\nport = 2222\nteam = "red"\n', "terraform.tfvars")
    changed = folder.succeed("apply", "-auto-approve", "-no-color")
    assert "0 added, 10 changed, 0 destroyed" in changed.output, changed.output
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output
    vm = folder.resources()['aws_instance.vm["a"]']
    assert vm["id"] == before['aws_instance.vm["a"]']["id"]
    assert vm["instance_type"] == "t3.large"
    group = world.client("logs").describe_log_groups()["logGroups"][0]
    assert group["retentionInDays"] == 14
    assert {"Key": "team", "Value": "red"} in world.client("iam").get_role(RoleName="lab")["Role"]["Tags"]


def test_a_change_that_aws_cannot_make_replaces(world: World) -> None:
    first, second = world.images()[:2]
    hcl = 'resource "aws_instance" "vm" {\n  ami = "%s"\n  instance_type = "t3.micro"\n}\n'
    folder = world.folder("replace", hcl % first)
    folder.apply()
    folder.write(hcl % second)
    plan = folder.plan_exit_code()
    assert plan.exit_code == 2
    assert "# forces replacement" in plan.output
    assert "Plan: 1 to add, 0 to change, 1 to destroy." in plan.output
    folder.apply()
    assert len(world.instances()) == 1


def test_policy_document_is_written_as_the_real_provider_writes_it(world: World) -> None:
    folder = world.folder(
        "policy",
        """
data "aws_iam_policy_document" "base" {
  statement {
    sid       = "one"
    actions   = ["s3:GetObject"]
    resources = ["*"]
  }
}
data "aws_iam_policy_document" "whole" {
  source_policy_documents = [data.aws_iam_policy_document.base.json]
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:aws:logs:*:*:log-group:/lab/&{aws:username}"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = ["us-west-2", "eu-west-1"]
    }
  }
  statement {
    sid       = "one"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
}
output "json" { value = data.aws_iam_policy_document.whole.json }
""",
    )
    folder.apply()
    assert folder.succeed("output", "-raw", "json").output == (
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "one",
      "Effect": "Deny",
      "Action": "s3:*",
      "Resource": "*",
      "Principal": {
        "AWS": "*"
      }
    },
    {
      "Effect": "Allow",
      "Action": [
        "logs:PutLogEvents",
        "logs:CreateLogStream"
      ],
      "Resource": "arn:aws:logs:*:*:log-group:/lab/${aws:username}",
      "Condition": {
        "StringEquals": {
          "aws:RequestedRegion": [
            "us-west-2",
            "eu-west-1"
          ]
        }
      }
    }
  ]
}"""
    )


def test_a_type_without_a_class_lives_in_the_state_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    folder = world.folder("topic", 'resource "aws_sns_topic" "letters" { name = "letters" }')
    folder.apply()
    assert "aws_sns_topic is not simulated" in caplog.text
    topic = folder.resources()["aws_sns_topic.letters"]
    assert topic["name"] == "letters"
    assert topic["arn"].startswith("arn:aws:")
    again = folder.plan_exit_code()
    assert again.exit_code == 0, again.output
    folder.succeed("destroy", "-auto-approve")
