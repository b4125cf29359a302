"""What makes a document valid beyond its single fields; called by `schemas.lab.Lab`, which it never changes.

Each check yields findings: the path of a field, a sentence, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import PydanticCustomError

from schemas.values import nearest

if TYPE_CHECKING:
    from schemas.lab import Lab
    from schemas.lab_pool import Pool

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
LOAD_BALANCER_NAME = 32
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
IAM_NAME = 64
# RFC 1035, 2.3.4: one label of a host name.
HOST_NAME = 63
HIGHEST_NUMBER = 999_999  # of a VM within its pool


class Finding(NamedTuple):
    path: tuple[str, ...]
    sentence: str
    suggestion: str = ""


class CrossFieldError(PydanticCustomError):
    """Carries all findings in its context, so that none hides another."""

    @classmethod
    def of(cls, findings: list[Finding]) -> CrossFieldError:
        text = "; ".join(f"{'.'.join(path)}: {sentence}" for path, sentence, _ in findings)
        return cls("findings", "{text}", {"text": text, "findings": findings})


def check_lab(lab: Lab) -> list[Finding]:
    """All findings, in the order of the checks; empty for a valid document."""
    return [
        *_check_names(lab),
        *(finding for name, pool in lab.pools.items() for finding in _check_pool(("pools", name), pool)),
        *_check_courses(lab),
        *_check_access(lab),
        *_check_replicas(lab),
    ]


def _check_names(lab: Lab) -> Iterator[Finding]:
    load_balancer = f"{lab.deployment}-alb-{lab.environment}"
    if len(load_balancer) > LOAD_BALANCER_NAME:
        yield Finding(("deployment",), _too_long(load_balancer, LOAD_BALANCER_NAME, "a load balancer in AWS"))
    if lab.deployment.startswith("internal-"):
        yield Finding(("deployment",), 'must not begin with "internal-", which AWS reserves for load balancers')
    if lab.deployment.startswith("sg-"):
        yield Finding(("deployment",), 'must not begin with "sg-", which AWS reserves for ids of security groups')
    for name, pool in lab.pools.items():
        host = f"{lab.deployment}-{name}-{lab.environment}-{HIGHEST_NUMBER}"
        role = f"{lab.deployment}-{name}-client-{lab.environment}-{pool.region}"
        if len(host) > HOST_NAME:
            yield Finding(("pools", name), _too_long(host, HOST_NAME, "a host name"))
        elif len(role) > IAM_NAME:
            yield Finding(("pools", name), _too_long(role, IAM_NAME, "an IAM role in AWS"))


def _too_long(name: str, limit: int, what: str) -> str:
    over = len(name) - limit
    return f'the name "{name}" is too long for {what} by {over} characters: shorten deployment, environment or pool'


def _check_pool(path: tuple[str, ...], pool: Pool) -> Iterator[Finding]:
    if isinstance(pool.ami, dict) and pool.region not in pool.ami:
        known = ", ".join(sorted(pool.ami)) or "none"
        stated = "ami" in pool.model_fields_set
        which = "names no AMI" if stated else "has no default AMI"
        sentence = f"{which} for {pool.region}, the pool's region (known: {known})"
        yield Finding((*path, "ami"), sentence)
    if pool.session.idle and not pool.software:
        yield Finding((*path, "session", "idle"), "needs `software`: without it nobody can tell whether a VM is used")
    for zone in pool.zones:
        if not zone.startswith(pool.region):
            yield Finding((*path, "zones"), f"{zone} is not in {pool.region}, the pool's region")


def _check_courses(lab: Lab) -> Iterator[Finding]:
    for name, course in lab.courses.items():
        if course.pool not in lab.pools:
            sentence = f'there is no pool "{course.pool}"'
            yield Finding(("courses", name, "pool"), sentence, nearest(course.pool, list(lab.pools)))


def _check_replicas(lab: Lab) -> Iterator[Finding]:
    """Two allocators share nothing but the database."""
    if lab.allocator.replicas == 1:
        return
    needs = {
        "database.mode rds": lab.database.mode == "rds",
        "ssl.provider acm": lab.ssl.provider == "acm",
        "state.backend database": lab.state.backend == "database",
    }
    missing = [name for name, met in needs.items() if not met]
    if missing:
        yield Finding(("allocator", "replicas"), f"2 needs {' and '.join(missing)}")


def _check_access(lab: Lab) -> Iterator[Finding]:
    if lab.public_queries and lab.vm_auth == "hostname":
        sentence = "must be false with vm_auth hostname: whoever reads a host name could speak for its VM"
        yield Finding(("public_queries",), sentence)
    if lab.vm_auth == "hostname":
        for name, pool in lab.pools.items():
            if pool.session.after != "replace":
                sentence = f"{pool.session.after} needs vm_auth token: by its name alone the last person could speak for the VM"
                yield Finding(("pools", name, "session", "after"), sentence)
    if lab.repeat == "open":
        for name, pool in lab.pools.items():
            if pool.access_code is None:
                yield Finding(("repeat",), f'open needs an access_code on every pool, and "{name}" has none')
    if lab.ssl.provider != "none" and not lab.dns.domain:
        yield Finding(("ssl", "provider"), f"{lab.ssl.provider} needs dns.domain, the name that the certificate is for")
