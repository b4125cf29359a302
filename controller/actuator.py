"""What every run of Terraform is given: database, lease, cloud, binary, state backend, keys and limits. Made by the wiring."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from controller.decide.tfvars import Site
from controller.ec2 import Ec2
from controller.result import Place
from controller.s3_states import find_bucket
from controller.slots import Slots
from controller.state_server import StateServer, serve_states
from controller.terraform import Pace, Terraform, choose_environment
from schemas.lab import Lab
from schemas.settings import Settings
from store.db import Db
from store.lease import Lease
from store.secret import Cipher


@dataclass(frozen=True)
class Actuator:
    """Passed explicitly; holds for one term of leadership."""

    db: Db
    lease: Lease
    ec2: Ec2
    terraform: Terraform
    states: StateServer
    cipher: Cipher
    work_dir: Path
    modules_dir: Path
    allocator_url: str
    secret: bytes = field(repr=False)  # the deployment's, that VM tokens are derived from
    settle_s: float = 60.0  # after an interrupted run, how old a launch must be to be in any listing
    allocator_cidr: str = ""
    allocator_public_cidr: str = ""
    client_boundary: str = ""
    slots: Slots = field(default_factory=Slots)
    initialising: anyio.Lock = field(default_factory=anyio.Lock)  # one `terraform init` at a time


@asynccontextmanager
async def open_actuator(
    db: Db, lease: Lease, settings: Settings, ec2: Ec2, environ: Mapping[str, str]
) -> AsyncIterator[Actuator]:
    """Serves the state backend until the block ends; leave it after the last run has ended."""
    pace = Pace(ttl_s=settings.run_ttl_s, renew_s=settings.run_ttl_s / 4, grace_s=settings.run_grace_s)
    cipher = Cipher.of(settings)
    async with serve_states(db, cipher) as states:
        yield Actuator(
            db=db,
            lease=lease,
            ec2=ec2,
            terraform=Terraform(settings.terraform, choose_environment(environ), pace),
            states=states,
            cipher=cipher,
            work_dir=settings.work_dir,
            modules_dir=settings.modules_dir,
            allocator_url=settings.allocator_url,
            secret=settings.deployment_secret.get_secret_value().encode(),
            settle_s=settings.settle_s,
            allocator_cidr=str(settings.allocator_cidr or ""),
            allocator_public_cidr=str(settings.allocator_public_cidr or ""),
            client_boundary=settings.client_boundary,
        )


def make_site(actuator: Actuator, lab: Lab, deployment_id: str, account_id: str) -> Site:
    """What all states of the deployment are told."""
    return Site(
        deployment=lab.deployment,
        deployment_id=deployment_id,
        environment=lab.environment,
        region=lab.region,
        account_id=account_id,
        allocator_url=actuator.allocator_url,
        allocator_cidr=actuator.allocator_cidr,
        allocator_public_cidr=actuator.allocator_public_cidr,
        client_boundary=actuator.client_boundary,
    )


def find_place(actuator: Actuator, lab: Lab, pool: str, region: str, part: str) -> Place:
    return Place(pool, region, part, lab.state.backend, find_bucket(lab, actuator.terraform.environment))
