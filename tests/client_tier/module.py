"""A module of `terraform/` in a scratch copy, run by the real Terraform before the stand-in. For the tests here."""

import base64
import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

TERRAFORM = Path(__file__).parents[2] / "terraform"
REGION = "us-west-2"
ALLOCATOR = "http://allocator.invalid:5000"
LOG_GROUP = "lablink-cloud-init-test"

PLACE = {
    "deployment": "lablink",
    "deployment_id": "0b0e7a86-6f0e-4f33-9d4b-2f2b2c1d9a11",
    "environment": "test",
    "region": REGION,
    "pool": "client",
}
POOL: dict[str, Any] = {
    **PLACE,
    "ssh_ingress": ["192.0.2.0/24", "2001:db8::/32"],
    "allocator_cidr": "198.51.100.7/32",
    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJtyD9h1pFyp0NYfQpQmGJgkxI0LbKq9Zb8Vn0wq7Xn lablink",
    "permissions_boundary": "",
    "log_group_arn": f"arn:aws:logs:{REGION}:123456789012:log-group:{LOG_GROUP}:*",
}
BASE = {"security_group_id": "sg-0123456789abcdef0", "instance_profile": "profile", "key_name": "key"}


def vm(startup_script: str = "", **changes: Any) -> dict[str, Any]:
    """An entry of var.vms; the start-up script as text."""
    return {
        "ami": "ami-0601752c11b394251",
        "instance_type": "t3.large",
        "zone": "",
        "market": "on-demand",
        "volume_size": 50,
        "volume_type": "gp3",
        "generation": 3,
        "image": "ghcr.io/lablink/client:1",
        "repository": "https://example.org/tutorial.git",
        "software": "sleap",
        "extension": "slp",
        "startup_script": base64.b64encode(startup_script.encode()).decode(),
        "startup_on_error": "continue",
        "gpu": False,
        "allocator_url": ALLOCATOR,
        "allocator_host": "allocator.invalid",
        "log_group": LOG_GROUP,
        "log_region": REGION,
        "abandoned_s": 86400,
        **changes,
    }


def token_of(hostname: str) -> str:
    return f"token.of.{hostname}.0123456789"


def shard(vms: dict[str, dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Variables of the module `vms`."""
    return {**PLACE, "base": BASE, "vms": vms, "tokens": {name: token_of(name) for name in vms}, **changes}


class Module:
    """One state: `folder` holds a copy of the module and terraform.tfstate."""

    def __init__(self, name: str, folder: Path, provider: dict[str, str]) -> None:
        self.folder = folder
        shutil.copytree(TERRAFORM / name, folder)
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))},
            **provider,
            "CHECKPOINT_DISABLE": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env=self._environment,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def plan(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The saved plan, as JSON."""
        planned = self.refuse_or_plan(variables)
        assert planned.returncode == 0, planned.stderr
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "next.tfplan").stdout)
        return plan

    def refuse_or_plan(self, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(variables))
        return self.run("plan", "-input=false", "-no-color", "-refresh=false", "-out=next.tfplan")

    def apply(self, variables: dict[str, Any]) -> str:
        """What Terraform wrote."""
        self.plan(variables)
        applied = self.run("apply", "-input=false", "-no-color", "next.tfplan")
        assert applied.returncode == 0, applied.stderr
        return applied.stdout

    def read_outputs(self) -> dict[str, Any]:
        outputs = json.loads(self.run("output", "-json").stdout)
        return {name: output["value"] for name, output in outputs.items()}

    def forget(self) -> None:
        """What a Terraform killed before its first write of the state leaves."""
        (self.folder / "terraform.tfstate").unlink()


def read_actions(plan: dict[str, Any]) -> dict[str, str]:
    """Address → what is done to it; no-op is left out unless it imports."""
    actions = {}
    for change in plan.get("resource_changes", []):
        verbs = "import" if change["change"].get("importing") else "+".join(change["change"]["actions"])
        if change["mode"] == "managed" and verbs != "no-op":
            actions[change["address"]] = verbs
    return actions


def unpack(user_data_base64: str) -> str:
    """As cloud-init does."""
    return gzip.decompress(base64.b64decode(user_data_base64)).decode()


def render_script(module: Module, vms: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The user data of each VM, as Terraform plans them."""
    planned = module.plan(shard(vms))["planned_values"]["root_module"]["resources"]
    return {resource["index"]: unpack(resource["values"]["user_data_base64"]) for resource in planned}
