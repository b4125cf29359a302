"""The allocator and what stands around it, as `lablink.yaml` declares it; part of `schemas.lab`."""

import hashlib
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from schemas.aws_values import AllocationId, Arn, BucketName, Gigabytes, HostedZoneId, InstanceType, RdsClass, TopicArn
from schemas.conditions import CONDITIONS, POOL, Severity, severity_of
from schemas.lab_pool import Declared, Ssh, Volume
from schemas.values import (
    Domain,
    Email,
    Flag,
    OptionalImage,
    OptionalPlainEmail,
    PositiveDuration,
    ReceiverUrl,
    Whole,
    Written,
    nearest,
    parse_duration,
    refuse,
)

BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)


class Admin(Declared):
    """Who may change things in the browser and by the API."""

    user: Annotated[str, Written(r"[A-Za-z0-9_.@-]{1,64}", "must be letters, digits, dots, hyphens or @")] = "admin"
    password_hash: Annotated[str, Field(repr=False)]
    """bcrypt; made by `lablink hash-password`."""

    @field_validator("password_hash", mode="before")
    @classmethod
    def _hashed(cls, value: object) -> object:
        # What was written is never repeated in the message: it may be a password.
        if not isinstance(value, str) or not BCRYPT.fullmatch(value):
            raise refuse("must be a bcrypt hash, never a password itself; make one with `lablink hash-password`")
        return value


class Database(Declared):
    """Where the record lives."""

    mode: Literal["embedded", "external", "rds"] = "embedded"
    """`external`: the DSN comes from the environment, never from this file."""
    instance_class: RdsClass = ""
    """Only for `rds`, which needs it: db.t4g.small."""
    multi_az: Flag = False
    """Only for `rds`: a standby in a second zone."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.mode == "rds" and not self.instance_class:
            raise refuse("mode rds needs an instance_class, such as db.t4g.small")
        if self.mode != "rds" and (self.instance_class or self.multi_az):
            raise refuse("instance_class and multi_az belong to mode rds alone")
        return self


class State(Declared):
    """Where Terraform's states live."""

    backend: Literal["database", "local", "s3"] = "database"
    bucket: BucketName = ""
    """Only for `s3`, which needs it."""
    lock: Literal["s3", "dynamodb"] = "s3"
    """How a state in S3 is locked."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if (self.backend == "s3") != bool(self.bucket):
            raise refuse(
                "backend s3 needs a bucket" if self.backend == "s3" else "a bucket belongs to backend s3 alone"
            )
        if self.backend != "s3" and self.lock != "s3":
            raise refuse("lock belongs to backend s3 alone")
        return self


class Dns(Declared):
    """The allocator's name."""

    enabled: Flag = False
    terraform_managed: Flag = True
    """Whether the records are made by `infrastructure/`, or by hand."""
    domain: Domain = ""
    zone_id: HostedZoneId = ""
    """Route 53 hosted zone; empty: found by the domain."""
    create_zone: Flag = False
    """Make the hosted zone, too."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.enabled and not self.domain:
            raise refuse("a domain is needed when dns is enabled")
        if self.create_zone and self.zone_id:
            raise refuse("zone_id names a zone that exists, create_zone makes one: choose one of them")
        return self


class Ssl(Declared):
    """Where the allocator's certificate comes from."""

    provider: Literal["none", "letsencrypt", "cloudflare", "acm"] = "none"
    email: OptionalPlainEmail = ""
    """Only for `letsencrypt`, which needs it."""
    certificate_arn: Arn = ""
    """Only for `acm`, which needs it."""
    staging: Flag = False
    """Only for `letsencrypt`: certificates for trying out, without its rate limits."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.provider == "letsencrypt" and not self.email:
            raise refuse("provider letsencrypt needs an email")
        if self.provider == "acm" and not self.certificate_arn:
            raise refuse("provider acm needs a certificate_arn")
        return self


class Eip(Declared):
    """The allocator's public address."""

    strategy: Literal["dynamic", "persistent"] = "dynamic"
    allocation_id: AllocationId = ""
    """Only for `persistent`: an address that exists already; empty: one is made and kept."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.strategy == "dynamic" and self.allocation_id:
            raise refuse("allocation_id belongs to strategy persistent alone")
        return self


class AllocatorVolume(Volume):
    """The allocator's disk."""

    size: Gigabytes = 100
    """GiB."""


class Allocator(Declared):
    """The machine that runs LabLink itself."""

    instance_type: InstanceType = "t3.large"
    volume: AllocatorVolume = AllocatorVolume()
    image: OptionalImage = ""
    """Container image; empty: the one of this release."""
    ssh: Ssh = Ssh()
    open_port_5000: Flag = False
    """Let the world reach the API without the proxy, as the old system did."""
    cloudwatch: Literal["alarms", "pools", "none"] = "alarms"
    """What CloudWatch is told every minute: the figures that its alarms watch, those of each pool, too, or nothing (and no alarms for them)."""
    replicas: Annotated[Whole, Field(ge=1, le=2)] = 1
    """2: two allocators behind the load balancer; needs database rds and ssl acm."""


def _retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        closest = min(RETENTION_DAYS, key=lambda known: abs(known - days))
        raise refuse(
            "must be a retention that CloudWatch knows (1, 3, 5, 7, 14, 30, 60, 90 days and longer)", f"{closest}"
        )
    return days


class Logs(Declared):
    """How long the lines of client VMs are kept."""

    cloudwatch_days: Annotated[Whole, AfterValidator(_retention)] = 7
    database_days: Annotated[Whole, Field(ge=1, le=3653)] = 30


class Backup(Declared):
    """Dumps of the database to S3."""

    bucket: BucketName = ""
    """Empty: no backups."""
    every: PositiveDuration = parse_duration("6h")
    keep: Annotated[Whole, Field(ge=1, le=10_000)] = 28
    """How many dumps are kept."""


def _known_condition(name: str) -> str:
    if name not in TOLD_OF:
        raise refuse(f'"{name}" is not the name of a condition, such as PoolStalled', nearest(name, TOLD_OF))
    return name


TOLD_OF = [*CONDITIONS, *(f"Pool{name}" for name in POOL)]
ConditionName = Annotated[str, AfterValidator(_known_condition), WithJsonSchema({"type": "string", "enum": TOLD_OF})]


class Notify(Declared):
    """One receiver of notifications, by exactly one way."""

    webhook: ReceiverUrl | None = None
    """Gets a POST with a JSON body that is signed (`lablink notify key`)."""
    slack: ReceiverUrl | None = None
    """Address of a Slack incoming webhook."""
    sns: TopicArn | None = None
    email: Email | None = None
    """Needs a mail server in the environment: LABLINK_SMTP_HOST, LABLINK_SMTP_FROM."""
    on: tuple[ConditionName, ...] = ()
    """Conditions to be told of, such as PoolStalled, BudgetReached, VmUnhealthy; empty: all that are as severe as `severity`."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """The least that is told where `on` names nothing."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in (self.webhook, self.slack, self.sns, self.email) if way is not None]
        if len(ways) != 1:
            raise refuse("needs exactly one of webhook, slack, sns and email")
        return self

    @property
    def way(self) -> str:
        return next(way for way in ("webhook", "slack", "sns", "email") if getattr(self, way) is not None)

    @property
    def target(self) -> str:
        """The address itself, which may hold a secret."""
        return str(getattr(self, self.way))

    @property
    def shown(self) -> str:
        """The address without what may be a secret: the host of a URL."""
        target = self.target
        return urlsplit(target).hostname or "" if self.way in ("webhook", "slack") else target

    @property
    def digest(self) -> str:
        """What the record knows it by."""
        return hashlib.sha256(f"{self.way} {self.target}".encode()).hexdigest()[:32]

    def wants(self, condition: str) -> bool:
        """Whether this receiver is told of a condition; `PoolStalled` means `Stalled` of a pool."""
        if self.on:
            return condition in self.on or f"Pool{condition}" in self.on
        order = list(Severity)
        return order.index(severity_of(condition)) >= order.index(Severity(self.severity))


class Desired(Declared):
    """How this document is kept."""

    git_commit: Flag = False
    """Commit to the file's repository what the UI changes."""
