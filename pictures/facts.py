"""What pictures are drawn from: the document, and what the Terraform files make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pictures.expression import UNKNOWN
from pictures.files import Module, read_module
from schemas.lab import Lab, Pool

ALLOCATOR_CIDR = "the allocator"
"""Stands where `terraform/pool` is given the allocator's address, which only a running deployment knows."""


@dataclass(frozen=True)
class Facts:
    lab: Lab
    terraform: Path  # the folder with `pool` and `vms`
    infrastructure: Path
    deploy: Path

    @cached_property
    def allocator(self) -> Module:
        return read_module("infrastructure", self.infrastructure, {"lab_file": ""}, self._functions)

    @cached_property
    def bootstrap(self) -> Module:
        return read_module(
            "infrastructure/bootstrap", self.infrastructure / "bootstrap", {"lab_file": ""}, self._functions
        )

    def base(self, *pools: Pool) -> Module:
        """What the VMs of pools share; of several pools, what any of them has."""
        networks = sorted({cidr for pool in pools for cidr in pool.ssh.ingress})
        given = {"ssh_ingress": networks, "allocator_cidr": ALLOCATOR_CIDR}
        return read_module("terraform/pool", self.terraform / "pool", given)

    @cached_property
    def vms(self) -> Module:
        return read_module("terraform/vms", self.terraform / "vms", {"vms": {"each VM": UNKNOWN}})

    @property
    def _functions(self) -> Mapping[str, Callable[..., Any]]:
        """The files read the document by these."""
        document = self.lab.model_dump(mode="json", by_alias=True)
        return {"file": lambda _: "", "yamldecode": lambda _: document}

    @property
    def name(self) -> str:
        return f"{self.lab.deployment} {self.lab.environment}"


def describe_size(pool: Pool) -> str:
    """How many VMs, in a few words."""
    if isinstance(pool.size, int):
        return f"{pool.size} VMs"
    return f"{pool.size.min} to {pool.size.max} VMs, {pool.size.spare} spare"
