"""A lab of real processes without people: PostgreSQL, moto, the provider stand-in, and controllers that can be killed.

No client VMs are simulated: what is watched here is which instances exist, not whether they boot.
"""

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import psycopg
from psycopg.rows import dict_row

from sandbox.aws import RunningAws, start_aws
from sandbox.aws_provider.serve import serve_reattach

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-west-2"
ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass
class Lab:
    """`file` is what an admin edits. Instances are read from moto itself, rows from the database."""

    dsn: str
    folder: Path
    aws: RunningAws
    environment: dict[str, str]
    root: Path = ROOT  # of the release whose programs are started
    controllers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    called_before: dict[str, int] = field(default_factory=dict)  # of AWS, by another lab

    def __post_init__(self) -> None:
        self.called_before = self._read_calls()

    @cached_property
    def _ec2(self) -> Any:
        """Made once: that takes as long as some of Terraform's runs."""
        return boto3.client("ec2", REGION, endpoint_url=self.aws.url, aws_access_key_id="t", aws_secret_access_key="t")

    @property
    def file(self) -> Path:
        return self.folder / "lablink.yaml"

    def declare(self, size: int, more: str = "", head: str = "") -> None:
        """Write the file as an editor would: a new one in the place of the old."""
        draft = self.folder / "draft"
        draft.write_text(f"{head}pools:\n  client:\n    size: {size}\n    instance_type: t3.large\n{more}")
        draft.rename(self.file)

    def start_controller(self) -> subprocess.Popen[bytes]:
        log = (self.folder / f"controller-{len(self.controllers)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "controller"],
                cwd=self.root,
                env=self.environment | {"LABLINK_MODULES_DIR": str(self.root / "terraform")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.controllers.append(process)
        return process

    def stop_controllers(self) -> None:
        for process in self.controllers:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.controllers:
            process.wait(60)

    def instances(self) -> Counter[str]:
        """Host names of the instances that exist, with how often."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ALIVE}]
        )
        found = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
        return Counter(map(_read_hostname, found))

    def find_twins(self) -> list[str]:
        """Host names that two instances have had at the same time, whatever became of them."""
        pages = self._ec2.get_paginator("describe_instances").paginate()
        found = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
        lives = sorted((_read_hostname(i), i["LaunchTime"], _read_end(i)) for i in found)
        return [name for (name, _, ended), (other, began, _) in pairwise(lives) if name == other and began < ended]

    def terminate_one(self) -> str:
        """An instance ends behind everybody's back; its host name."""
        row = self.row("SELECT hostname, instance_id FROM vm WHERE phase = 'live' ORDER BY hostname LIMIT 1")
        self.fault({"kill": row["instance_id"]})
        return str(row["hostname"])

    def fault(self, fault: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.aws.fault_url}/faults", json.dumps(fault).encode())
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).close()

    def end_faults(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.aws.fault_url}/faults", method="DELETE")).close()

    def calls(self) -> dict[str, int]:
        """How often each action of AWS was asked for since this lab began."""
        counted = Counter(self._read_calls())
        counted.subtract(self.called_before)
        return {action: number for action, number in counted.items() if number}

    def _read_calls(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.aws.fault_url}/calls") as answer:
            return dict(json.load(answer))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True) as conn:
            return conn.execute(sql).fetchall()

    def row(self, sql: str) -> dict[str, Any]:
        return self.rows(sql)[0]

    def live(self) -> list[str]:
        return [
            r["hostname"] for r in self.rows("SELECT hostname FROM vm WHERE phase = 'live' AND in_state ORDER BY 1")
        ]

    def present(self) -> list[str]:
        return [r["hostname"] for r in self.rows("SELECT hostname FROM vm WHERE phase <> 'gone' ORDER BY 1")]

    def condition(self, kind: str, pool: str = "client") -> dict[str, Any]:
        found = self.rows(f"SELECT conditions->'{kind}' AS c FROM pool WHERE name = '{pool}'")
        return dict(found[0]["c"] or {}) if found else {}

    def deployment_condition(self, kind: str) -> dict[str, Any]:
        return dict(self.row(f"SELECT conditions->'{kind}' AS c FROM deployment")["c"] or {})

    def wait(self, what: str, condition: Callable[[], Any], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.story()}")
            time.sleep(0.2)

    def wait_for_size(self, size: int, within_s: float = 60) -> None:
        """Exactly `size` VMs, each with one instance, in rows, in Terraform's state and in AWS."""

        def settled() -> bool:
            live = self.live()
            return len(live) == size and live == self.present() and self.instances() == Counter(live)

        self.wait(f"{size} VMs at rest", settled, within_s)

    def story(self) -> str:
        """What to read when a test failed."""
        vms = [
            tuple(r.values())
            for r in self.rows("SELECT hostname, phase, in_state, instance_id, reason FROM vm ORDER BY 1")
        ]
        runs = [
            tuple(r.values()) for r in self.rows("SELECT id, state_key, outcome, cause, message FROM run ORDER BY id")
        ]
        pools = [tuple(r.values()) for r in self.rows("SELECT name, failures, failure, conditions FROM pool")]
        logs = [p.read_text()[-3000:] for p in sorted(self.folder.glob("controller-*.log"))[-2:]]
        return "\n".join(map(str, [*vms, *runs, *pools, self.instances(), *logs]))


def _read_hostname(instance: dict[str, Any]) -> str:
    return str({tag["Key"]: tag["Value"] for tag in instance["Tags"]}["lablink:hostname"])


def _read_end(instance: dict[str, Any]) -> datetime:
    """To the second, as AWS says it."""
    found = re.search(r"\((.+) UTC\)", instance.get("StateTransitionReason", ""))
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else datetime.max.replace(tzinfo=UTC)


@contextmanager
def open_lab(dsn: str, folder: Path, running: RunningAws | None = None) -> Iterator[Lab]:
    """Everything but a controller runs; whatever was started is gone at the end. An AWS that runs is emptied, since to start one takes seconds."""
    with ExitStack() as stack:
        aws = running or stack.enter_context(start_aws(folder / "aws"))
        if running:
            urllib.request.urlopen(urllib.request.Request(f"{aws.url}/moto-api/reset", method="POST")).close()
            urllib.request.urlopen(urllib.request.Request(f"{aws.fault_url}/faults", method="DELETE")).close()
        provider = serve_reattach(endpoint_url=aws.url, region=REGION, access_key="test", secret_key="test")
        stack.callback(provider.stop)
        environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            **provider.environment,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "LABLINK_DATABASE_DSN": dsn,
            "LABLINK_DESIRED_FILE": str(folder / "lablink.yaml"),
            "LABLINK_WORK_DIR": str(folder / "work"),
            "LABLINK_DEPLOYMENT_SECRET": secrets.token_hex(16),
            "LABLINK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "LABLINK_TICK_S": "1",
            "LABLINK_LISTING_S": "2",
            "LABLINK_BUSY_LISTING_S": "0.5",
            "LABLINK_SETTLE_S": "2",
            "LABLINK_LEASE_TTL_S": "3",
            "LABLINK_RUN_TTL_S": "4",
            "LABLINK_RUN_GRACE_S": "3",
            "LABLINK_TERRAFORM_GRACE_S": "20",
        }
        lab = Lab(dsn, folder, aws, environment)
        stack.callback(_kill_all, lab)
        yield lab


def _kill_all(lab: Lab) -> None:
    for process in lab.controllers:
        process.kill()
        process.wait()
