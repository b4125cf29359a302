"""What `lablink doctor` looks at: the document, the environment, AWS; and where the sandbox runs, the sandbox instead."""

import json
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dns.resolver import NoResolverConfiguration, Resolver

from lablink.doctor.cloud import Cloud
from schemas.lab import Lab

NAMED = ("LABLINK_DATABASE_DSN", "LABLINK_KEYS", "LABLINK_KEY_PATH", "AWS_ENDPOINT_URL", "AWS_PROFILE")
"""Whoever sets one of these means another place than the sandbox."""
ANY_KEY = "test"  # what moto asks for


def find_resolver() -> Resolver | None:
    """This machine's; None where it has none."""
    try:
        resolver = Resolver()
    except (NoResolverConfiguration, OSError):
        return None
    resolver.lifetime = 6.0
    return resolver


@dataclass(frozen=True)
class Patient:
    lab: Lab
    environ: Mapping[str, str]
    data: Path  # of the sandbox and of `lablink infra`
    cloud: Cloud
    resolver: Resolver | None  # None: the public DNS is not asked
    tls_port: int = 443  # where the name's certificate is looked at

    @property
    def regions(self) -> list[str]:
        """The allocator's, then those of the pools."""
        return list(dict.fromkeys([self.lab.region, *(pool.region for pool in self.lab.pools.values())]))


def enter_sandbox(data: Path, environ: MutableMapping[str, str]) -> str:
    """Where a sandbox runs and the environment names nothing else, it is what is looked at; a sentence about it, or ""."""
    if any(environ.get(name) for name in NAMED):
        return ""
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((data / "sandbox.json").read_text())
        environ.update(
            LABLINK_DATABASE_DSN=found["database_dsn"],
            LABLINK_KEYS=str(data / "keys"),
            LABLINK_WORK_DIR=str(data / "work"),
            AWS_ENDPOINT_URL=found["aws_endpoint_url"],
            AWS_ACCESS_KEY_ID=ANY_KEY,
            AWS_SECRET_ACCESS_KEY=ANY_KEY,
        )
        environ.pop("AWS_SESSION_TOKEN", None)
        return f"Looking at the sandbox of {data}; `--no-sandbox` looks at AWS instead."
    return ""
