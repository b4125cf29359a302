"""The allocator tier applied for real: moto, the provider stand-in, the real Terraform in a working copy, boto3 to look with."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from lablink.infra_copy import prepare_copy
from sandbox.aws_provider.serve import serve_reattach
from sandbox.moto_server import MotoServer
from schemas.document import parse_lab

REGION = "us-west-2"
AMI = "ami-0601752c11b394251"
DOMAIN = "lab.example.org"


class Cloud:
    """moto with a certificate and a zone, and the provider stand-in before it. All in one process have moto's one world."""

    def __init__(self) -> None:
        self._moto = MotoServer()
        self.url = self._moto.url
        self._provider = serve_reattach(
            endpoint_url=self.url, region=REGION, access_key="testing", secret_key="testing"
        )
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_ENDPOINT_URL": self.url}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))}
        self.environment = {**kept, **keys, **self._provider.environment, "CHECKPOINT_DISABLE": "1"}
        self.client = cache(self._make_client)
        self.certificate = self.client("acm").request_certificate(DomainName=DOMAIN)["CertificateArn"]
        if not self.client("route53").list_hosted_zones()["HostedZones"]:
            self.client("route53").create_hosted_zone(Name="example.org", CallerReference="tests")

    def _make_client(self, service: str) -> Any:
        make: Any = boto3.client
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return make(service, endpoint_url=self.url, region_name=REGION, **keys)

    def stop(self) -> None:
        self._provider.stop()
        self._moto.stop()


@dataclass
class Deployment:
    """One document with its working copy; each has a name of its own, so that several share a cloud."""

    cloud: Cloud
    folder: Path
    name: str
    document: dict[str, Any]
    variables: dict[str, Any] = field(default_factory=lambda: {"ami": AMI, "protect": False})
    _state: dict[str, Any] | None = None

    def write(self, **changes: Any) -> None:
        """The document with changes, and the copy brought up to date."""
        self.document |= changes
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "lablink.yaml"
        place = {"deployment": self.name, "environment": "test", "region": REGION}
        path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in (place | self.document).items()))
        lab = parse_lab(path.read_text()).lab
        self.copy = prepare_copy(lab, path, self.folder / "copy", self.cloud.environment)

    def add_line(self, line: str) -> None:
        """To the document as Terraform reads it; the models do not judge it."""
        path = self.folder / "lablink.yaml"
        path.write_text(f"{path.read_text()}{line}\n")

    def terraform(self, *arguments: str, bootstrap: bool = False) -> "subprocess.CompletedProcess[str]":
        folder = self.copy.bootstrap if bootstrap else self.copy.allocator
        words = [f"-var={name}={json.dumps(value).strip(chr(34))}" for name, value in self.variables.items()]
        if bootstrap:  # moto has no TLS, and refuses for a policy's Deny without looking at its condition
            words = ["-var=protect=false", "-var=tls_only=false"]
        takes = arguments[0] in ("plan", "apply", "destroy")
        self._state = self._state if arguments[0] in ("state", "show", "output") else None
        return subprocess.run(
            ["terraform", *arguments, *(["-no-color", "-input=false", *words] if takes else [])],
            cwd=folder,
            env=self.cloud.environment,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )

    def run(self, *arguments: str, bootstrap: bool = False) -> str:
        done = self.terraform(*arguments, bootstrap=bootstrap)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def apply(self, *more: str) -> None:
        self.run("apply", "-auto-approve", *more)

    def init(self) -> None:
        self.run("init", "-input=false")

    def destroy(self, *, bootstrap: bool = False) -> None:
        """Right after an apply: nobody has changed anything since."""
        self.run("destroy", "-auto-approve", "-refresh=false", bootstrap=bootstrap)

    def state(self) -> dict[str, Any]:
        """Read again where it may have changed."""
        if self._state is None:
            file = self.copy.allocator / "terraform.tfstate"
            self._state = json.loads(file.read_text() if file.exists() else self.run("state", "pull"))
        return self._state

    def outputs(self) -> dict[str, Any]:
        return {name: one["value"] for name, one in self.state()["outputs"].items()}

    def addresses(self) -> set[str]:
        """What the state holds, data sources left out."""
        return {f"{one['type']}.{one['name']}" for one in self.state()["resources"] if one["mode"] == "managed"}

    def named(self, part: str) -> str:
        return f"{self.name}-{part}-test"

    def policies(self) -> dict[str, dict[str, Any]]:
        """All policies that the plan or state holds, by address."""
        shown = json.loads(self.run("show", "-json"))
        found = {}
        for resource in shown["values"]["root_module"]["resources"]:
            for key in ("policy", "assume_role_policy"):
                if resource["mode"] == "managed" and resource["values"].get(key):
                    found[f"{resource['address']}.{key}"] = json.loads(resource["values"][key])
        return found
