"""A small world for the tests of the provider stand-in: moto, the stand-in, and folders where the real terraform runs.

Everything is on loopback and ends with the test; terraform gets an environment of its own, without a CLI configuration.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3

from sandbox.aws_provider.serve import ReattachServer, serve_reattach
from sandbox.moto_server import MotoServer

REGION = "us-west-2"
TIMEOUT_S = 120
PROVIDER = f"""
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}
provider "aws" {{
  region = "{REGION}"
  default_tags {{ tags = {{ "lablink:environment" = "test" }} }}
}}
"""


@dataclass
class Run:
    """How one terraform command ended."""

    exit_code: int
    output: str

    def messages(self) -> list[dict[str, Any]]:
        """The JSON lines of a `-json` run."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def errors(self) -> list[dict[str, Any]]:
        """Its diagnostics."""
        return [message["diagnostic"] for message in self.messages() if message["type"] == "diagnostic"]


@dataclass
class Folder:
    """A root module and the terraform that runs in it."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, hcl: str, name: str = "main.tf") -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(hcl, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.path), "CHECKPOINT_DISABLE": "1", **self.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts terraform in a process group of its own, its output on one pipe."""
        return subprocess.Popen(
            ["terraform", *arguments],
            cwd=self.path,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> Run:
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Run(process.returncode, output)

    def succeed(self, *arguments: str) -> Run:
        run = self.run(*arguments)
        assert run.exit_code == 0, run.output
        return run

    def apply(self) -> Run:
        return self.succeed("apply", "-auto-approve", "-input=false", "-json")

    def plan_exit_code(self) -> Run:
        """Exit code 0: nothing to do; 2: changes."""
        return self.run("plan", "-input=false", "-detailed-exitcode", "-no-color")

    def resources(self) -> dict[str, dict[str, Any]]:
        """The attributes of all managed and read resources in the state, by address."""
        shown = json.loads(self.succeed("show", "-json").output)
        root = shown.get("values", {}).get("root_module", {})
        return {item["address"]: item["values"] for item in root.get("resources", [])}


@dataclass
class World:
    """moto, the stand-in, and a place for folders."""

    endpoint_url: str
    provider: ReattachServer
    root: Path

    def folder(self, name: str, hcl: str = "", **environment: str) -> Folder:
        folder = Folder(self.root / name, {**self.provider.environment, **environment})
        folder.write(PROVIDER, "provider.tf")
        folder.write(hcl)
        return folder

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return make(service, region_name=REGION, endpoint_url=self.endpoint_url, **keys)

    def reset(self) -> None:
        urlopen(Request(f"{self.endpoint_url}/moto-api/reset", method="POST"), timeout=10).close()

    def images(self) -> list[str]:
        found = self.client("ec2").describe_images(Owners=["amazon"])["Images"]
        return [image["ImageId"] for image in found]

    def instances(self) -> dict[str, str]:
        """Id to name of all instances that are not terminated."""
        states = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
        pages = self.client("ec2").get_paginator("describe_instances").paginate(Filters=states)
        found = [instance for page in pages for group in page["Reservations"] for instance in group["Instances"]]
        return {i["InstanceId"]: {t["Key"]: t["Value"] for t in i.get("Tags", [])}.get("Name", "") for i in found}


@contextmanager
def open_world(root: Path) -> Iterator[World]:
    """Starts moto and the stand-in; both are ended again."""
    moto = MotoServer()
    try:
        provider = serve_reattach(endpoint_url=moto.url, access_key="test", secret_key="test")
        try:
            yield World(moto.url, provider, root)
        finally:
            provider.stop()
    finally:
        moto.stop()
