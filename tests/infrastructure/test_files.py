"""The files themselves: format, validity by the provider's schema, one source of defaults, variables that refuse nonsense."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
from pydantic import BaseModel

from schemas.lab import Lab
from tests.infrastructure.conftest import Deploy
from tests.infrastructure.world import AMI, Deployment

ROOT = Path(__file__).resolve().parents[2]
TIER = ROOT / "infrastructure"


def test_files_are_formatted() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    command = ["terraform", "fmt", "-check", "-recursive", "-no-color", str(TIER)]
    checked = subprocess.run(command, text=True, capture_output=True, env=environment, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("bootstrap", [False, True])
def test_modules_are_valid_by_the_providers_schema(deploy: Deploy, bootstrap: bool) -> None:
    verdict = json.loads(deploy("valid").run("validate", "-json", bootstrap=bootstrap))
    assert (verdict["valid"], verdict["diagnostics"]) == (True, [])


@pytest.mark.parametrize("folder", [TIER, TIER / "bootstrap"])
def test_no_provider_but_aws_is_needed(folder: Path) -> None:
    text = "".join(path.read_text() for path in folder.glob("*.tf"))
    (block,) = [block for parsed in [hcl2.loads((folder / "versions.tf").read_text())] for block in parsed["terraform"]]
    names = {name for entry in block["required_providers"] for name in entry if not name.startswith("__")}
    assert names == {"aws"}
    assert set(re.findall(r'^(?:resource|data) "([a-z]+)_', text, re.MULTILINE)) == {"aws"}


def find_defaults() -> Iterator[tuple[str, str]]:
    """Every `try(local.file.a.b, default)` of both modules: path and the default as written."""
    for path in [*TIER.glob("*.tf"), *(TIER / "bootstrap").glob("*.tf")]:
        for part in path.read_text().split("try(local.file.")[1:]:
            name, _, rest = part.partition(", ")
            depth, end = 0, 0
            for end, character in enumerate(rest):  # noqa: B007 - where it ends is what is looked for
                depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
                if depth < 0:
                    break
            yield name, rest[:end]


NO_FIELDS = {"notify", "admin.user", "admin.password_hash"}  # a list of receivers; a section that may be left out
DEFAULTS = sorted(set(find_defaults()))


@pytest.mark.parametrize(("name", "written"), DEFAULTS, ids=[f"{name}={written}" for name, written in DEFAULTS])
def test_a_default_is_the_models(name: str, written: str) -> None:
    if name in NO_FIELDS:
        return
    value: Any = Lab(pools={})
    for step in name.split("."):
        assert isinstance(value, BaseModel)
        value = getattr(value, step)
    plain = [str(one) for one in value] if isinstance(value, tuple) else value
    assert json.loads(written) == plain


def test_every_field_of_the_allocator_tier_is_read() -> None:
    sections = ("database", "state", "dns", "ssl", "eip", "allocator")
    fields = {f"{name}.{field}" for name in sections for field in type(getattr(Lab(pools={}), name)).model_fields}
    read = {".".join(name.split(".")[:2]) for name, _ in DEFAULTS}
    assert fields - read == set()


BAD = {
    "lab_file": "/nowhere/lablink.yaml",
    "lambda_zip": "/nowhere/lambda.zip",
    "deploy_dir": "/nowhere",
    "release_image": "No Image",
    "ami": "latest",
    "alarm_topic": "me",
}


def test_every_variable_refuses_nonsense(deploy: Deploy) -> None:
    lab = deploy("bad")
    lab.variables = dict(BAD)
    refused = lab.terraform("plan")
    assert refused.returncode == 1
    said = " ".join(refused.stderr.replace("│", " ").split())
    assert [name for name in BAD if f"{name} must be" not in said] == []


def test_buckets_refuse_calls_without_tls(deploy: Deploy) -> None:
    lab = deploy("tls", backup={"bucket": "kept-with-tls"})
    done = subprocess.run(
        ["terraform", "plan", "-input=false", "-out=next.tfplan"], cwd=lab.copy.bootstrap, env=lab.cloud.environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(lab.run("show", "-json", "next.tfplan", bootstrap=True))
    kinds = [one["type"] for one in shown["resource_changes"] if one["mode"] == "managed"]
    assert kinds.count("aws_s3_bucket_policy") == 1


def test_an_external_database_brings_neither_a_volume_nor_rds(deploy: Deploy) -> None:
    lab = deploy("external", database={"mode": "external"})
    lab.run("plan", "-out=next.tfplan")
    shown = json.loads(lab.run("show", "-json", "next.tfplan"))
    made = {one["type"]: one["change"]["after"] for one in shown["resource_changes"] if one["mode"] == "managed"}
    assert {
        "aws_ebs_volume",
        "aws_volume_attachment",
        "aws_dlm_lifecycle_policy",
        "aws_db_instance",
    } & made.keys() == set()
    assert made["aws_instance"]["instance_type"] == "t3.large"


def test_an_allocator_image_of_ecr_may_be_pulled_and_no_other(deploy: Deploy) -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/link:1"
    lab = deploy("ecr", allocator={"image": image})
    lab.variables = {"ami": AMI}
    statements = plan_own_policy(lab)
    assert statements["Image"]["Resource"] == "arn:aws:ecr:eu-west-1:123456789012:repository/lab/link"
    assert statements["ImageLogin"]["Action"] == "ecr:GetAuthorizationToken"


def plan_own_policy(lab: Deployment) -> dict[str, Any]:
    lab.run("plan", "-out=next.tfplan", "-target=data.aws_iam_policy_document.own")
    lab.run("apply", "-auto-approve", "-target=aws_iam_role_policy.allocator")
    policy = next(text for name, text in lab.policies().items() if '["own"]' in name)
    return {one["Sid"]: one for one in policy["Statement"]}
