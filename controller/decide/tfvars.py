"""Renders rows as the variables of the client tier's modules (`terraform/pool`, `terraform/vms`): pure, and the same text every time.

Called by actuation. What it renders for a VM is only read by Terraform when the VM is made; later changes touch nothing.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.token import vm_token
from schemas.vm import Vm

IAM_NAME_LENGTH = 64
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov", "eusc": "aws-eusc"}


@dataclass(frozen=True, slots=True)
class Site:
    """What all states of a deployment are told: its identity, and where its VMs report to."""

    deployment: str
    deployment_id: str
    environment: str
    region: str  # the allocator's: logs go there
    account_id: str
    allocator_url: str
    allocator_cidr: str = ""  # who may reach the VMs' port 22 beside the pool's own networks; empty: nobody
    allocator_public_cidr: str = ""  # the same in other regions than the allocator's
    client_boundary: str = ""  # ARN of the policy that a client VM's role may not exceed; empty: none

    @property
    def log_group(self) -> str:
        return f"{self.deployment}-cloud-init-{self.environment}"

    @property
    def log_group_arn(self) -> str:
        partition = next((name for start, name in PARTITIONS.items() if self.region.startswith(f"{start}-")), "aws")
        return f"arn:{partition}:logs:{self.region}:{self.account_id}:log-group:{self.log_group}"


def render_base(site: Site, pool: str, region: str, ssh_ingress: Iterable[str], public_key: str) -> dict[str, Any]:
    """Variables of `terraform/pool`, all but `adopt`."""
    return {
        **_render_identity(site, pool, region),
        "ssh_ingress": sorted(str(cidr) for cidr in ssh_ingress),
        "allocator_cidr": site.allocator_cidr if region == site.region else site.allocator_public_cidr,
        "public_key": public_key,
        "log_group_arn": site.log_group_arn,
        "permissions_boundary": site.client_boundary,
    }


@dataclass(frozen=True, slots=True)
class Target:
    """What the state of a shard should hold; `imports` maps host names to the ids of instances that exist already."""

    pool: str
    region: str
    base: Mapping[str, str]  # outputs of the base's state
    vms: tuple[Vm, ...]
    imports: Mapping[str, str]


def render_shard(site: Site, target: Target, secret: bytes) -> dict[str, Any]:
    """Variables of `terraform/vms`. `secret` is the deployment's: tokens are derived from it."""
    ordered = sorted(target.vms, key=lambda vm: vm.hostname)
    return {
        **_render_identity(site, target.pool, target.region),
        "base": {name: target.base[name] for name in ("security_group_id", "instance_profile", "key_name")},
        "vms": {vm.hostname: _render_vm(site, vm) for vm in ordered},
        "tokens": {vm.hostname: vm_token(secret, vm.hostname, vm.token_version) for vm in ordered},
        "adopt": dict(sorted(target.imports.items())),
    }


def _render_identity(site: Site, pool: str, region: str) -> dict[str, Any]:
    return {
        "deployment": site.deployment,
        "deployment_id": site.deployment_id,
        "environment": site.environment,
        "region": region,
        "pool": pool,
    }


def _render_vm(site: Site, vm: Vm) -> dict[str, Any]:
    spec = vm.spec
    return {
        "ami": spec.ami,
        "instance_type": spec.instance_type,
        "zone": spec.zone,
        "market": spec.market,
        "volume_size": spec.volume_size,
        "volume_type": spec.volume_type,
        "generation": vm.generation,
        "image": spec.image,
        "repository": spec.repository,
        "software": spec.software,
        "extension": spec.extension,
        "startup_script": base64.b64encode(spec.startup_script.encode()).decode(),
        "startup_on_error": spec.startup_on_error,
        "gpu": spec.gpu,
        "allocator_url": site.allocator_url,
        "allocator_host": urlsplit(site.allocator_url).hostname or "",
        "log_group": site.log_group,
        "log_region": site.region,
        "abandoned_s": spec.abandoned_s,
    }


def render_json(variables: Mapping[str, Any]) -> str:
    """The text of a `.tfvars.json` file: sorted, so that equal variables are equal bytes."""
    return json.dumps(variables, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_variables(variables: Mapping[str, Any]) -> str:
    """What `base.applied_hash` compares; what is only imported once is no part of it."""
    kept = {name: value for name, value in variables.items() if name != "adopt"}
    return hashlib.sha256(render_json(kept).encode()).hexdigest()


def base_name(site: Site, pool: str) -> str:
    """Name of a pool's security group and key pair, as `terraform/pool/main.tf` makes it."""
    return f"{site.deployment}-{pool}-{site.environment}"


def iam_name(site: Site, pool: str, region: str) -> str:
    """Name of a pool's role and instance profile, as `terraform/pool/main.tf` makes it: IAM is global and takes 64 characters."""
    name = f"{base_name(site, pool)}-{region}"
    if len(name) <= IAM_NAME_LENGTH:
        return name
    return f"{name[:55]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
