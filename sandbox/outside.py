"""The parts of the sandbox that stand for the outside: PostgreSQL, AWS, Terraform and its AWS provider.

`sandbox.up` starts, watches and ends them through `Outside`. Each start runs in a worker thread and is remembered by the
thread itself, so that a start that is interrupted is still ended.
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import boto3
from botocore.config import Config

from lablink.errors import Failed
from sandbox import postgres
from sandbox.aws import AwsError, RunningAws, start_aws
from sandbox.aws_provider.serve import ReattachServer, serve_reattach
from sandbox.postgres import RunningPostgres
from sandbox.postgres_binaries import PostgresError
from sandbox.terraform_binary import TerraformNotFound, find_terraform

WATCH_S = 1.0
ACCESS_KEY = "test"  # what moto asks for is any key


@dataclass
class Outside:
    """None is what does not run (yet)."""

    data: Path
    region: str
    stand_in: bool
    database: RunningPostgres | None = None
    aws: RunningAws | None = None
    provider: ReattachServer | None = None
    terraform: Path | None = None

    async def start_database(self) -> None:
        await anyio.to_thread.run_sync(self._start_database)

    def _start_database(self) -> None:
        try:
            self.database = postgres.start(self.data / "postgres")
        except PostgresError as error:
            raise Failed(str(error)) from None

    async def start_aws(self) -> None:
        """Also the stand-in, which needs to know where AWS is. A restart keeps the port."""
        await anyio.to_thread.run_sync(self._start_aws)

    def _start_aws(self) -> None:
        port = urlsplit(self.aws.url).port if self.aws else 0
        try:
            self.aws = start_aws(self.data / "aws", port=port or 0, region=self.region)
        except AwsError as error:
            raise Failed(str(error)) from None
        if self.stand_in and self.provider is None:
            self.provider = serve_reattach(
                endpoint_url=self.aws.url, region=self.region, access_key=ACCESS_KEY, secret_key=ACCESS_KEY
            )

    async def find_terraform(self) -> None:
        try:
            self.terraform = await anyio.to_thread.run_sync(find_terraform, self.data / "bin")
        except TerraformNotFound as error:
            raise Failed(str(error)) from None

    def database_runs(self) -> bool:
        """Its parent is its guard, so a signal that does nothing tells."""
        assert self.database is not None
        with suppress(ProcessLookupError):
            os.kill(self.database.pid, 0)
            return True
        return False

    def aws_runs(self) -> bool:
        """The kernel takes connections for it as long as it lives, also while it is busy."""
        assert self.aws is not None
        address = urlsplit(self.aws.url)
        with suppress(OSError):
            socket.create_connection((address.hostname or "", address.port or 0), timeout=5).close()
            return True
        return False

    def environment(self) -> dict[str, str]:
        """What a program needs to find AWS, and Terraform to find its provider."""
        assert self.aws is not None
        reattach = self.provider.environment if self.provider else {}
        return {
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The person's own profiles lead to the real AWS.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **reattach,
        }

    def boto_client(self, name: str) -> Any:
        """A boto3 client of the sandbox's AWS; safe to use from several threads."""
        assert self.aws is not None
        return boto3.session.Session().client(
            name,  # type: ignore[call-overload]
            endpoint_url=self.aws.url,
            region_name=self.region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
            config=Config(retries={"total_max_attempts": 2, "mode": "standard"}, connect_timeout=5, read_timeout=60),
        )

    async def stop(self) -> None:
        """The provider, then AWS (which stores its world), then PostgreSQL."""
        for part in (self.provider, self.aws, self.database):
            if part is not None:
                await anyio.to_thread.run_sync(part.stop)
