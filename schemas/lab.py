"""The whole of `lablink.yaml` as immutable models: what an admin wants to exist. Everybody reads `Lab` and `Pool`.

`schemas.document` parses text into a `Lab` and edits the text; `schemas.lab_checks` holds what spans several fields.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from schemas.aws_values import PriceKey, Region
from schemas.lab_allocator import Admin, Allocator, Backup, Database, Desired, Dns, Eip, Logs, Notify, Ssl, State
from schemas.lab_checks import CrossFieldError, check_lab
from schemas.lab_pool import (
    AccessCode,
    CronWindow,
    Declared,
    Demand,
    Health,
    Pool,
    Session,
    Ssh,
    StartupScript,
    Update,
    Volume,
    Window,
)
from schemas.values import (
    Duration,
    Environment,
    Flag,
    Moment,
    Name,
    PositiveDuration,
    RelativePath,
    Usd,
    Whole,
    parse_duration,
    refuse,
)

__all__ = [
    "Admin",
    "Allocator",
    "Backup",
    "Budget",
    "Course",
    "CronWindow",
    "Database",
    "Demand",
    "Desired",
    "Dns",
    "Eip",
    "Health",
    "Lab",
    "Logs",
    "Notify",
    "Pool",
    "Session",
    "Ssh",
    "Ssl",
    "StartupScript",
    "State",
    "Update",
    "Volume",
    "Window",
]


COMES_EARLY = timedelta(minutes=30)
"""Whoever comes this long before a course comes for it: its code holds, and seats are kept for its roster."""


class Course(Declared):
    """Seats of a pool that are ready and free at a moment."""

    pool: Name
    from_at: Moment = Field(alias="from")
    """When the seats are wanted; growth starts early by the measured start-up time."""
    to_at: Moment = Field(alias="to")
    """When the course ends."""
    seats: Annotated[Whole, Field(ge=1, le=1000)]
    roster: RelativePath | None = None
    """File with one email a line: these come first, and each has a seat held."""
    access_code: AccessCode | None = None
    """What users must know to get a VM of the pool, from half an hour before the course to its end; the pool's own code is as good."""
    alarm: tuple[PositiveDuration, ...] = ()
    """Notify when seats are missing this long before."""
    grace: Duration = parse_duration("30m")
    """After `to`: users are warned, then the VMs drain."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to_at <= self.from_at:
            raise refuse("`to` must be after `from`")
        return self

    def admits_at(self, now: datetime) -> bool:
        """Whether people come for it at this moment."""
        return self.from_at - COMES_EARLY <= now < self.to_at


class Budget(Declared):
    """US dollars beyond which nothing grows."""

    hourly: Usd | None = None
    """Of everything that runs at once, the allocator included."""
    monthly: Usd | None = None
    """Of a month in UTC, as AWS bills: growth stops when it is used up. Nobody's VM is ended for it."""
    approve_above: Usd | None = 100.0
    """A change that may cost so much more per hour waits for `lablink approve VERSION`; `null`: none does."""


class Lab(Declared):
    """One deployment. Raises `pydantic.ValidationError`; for sentences with line and column use `schemas.document`."""

    format: Literal[1] = 1
    """Version of this file's format."""
    deployment: Name = "lablink"
    """First part of every name in AWS."""
    environment: Environment = "dev"
    """dev, test, ci-test, prod or another short name; last part of every name in AWS."""
    region: Region = "us-west-2"
    """AWS region of the allocator, and of pools that name none."""
    admin: Admin | None = None
    pools: dict[Name, Pool]
    """Client VMs by pool."""
    courses: dict[Name, Course] = {}
    """Seats at a time, by course."""
    budget: Budget = Budget()
    prices: dict[PriceKey, Usd] = {}
    """What things cost here instead of AWS's list: `g4dn.xlarge` or `eu-west-1/g4dn.xlarge` in USD per hour, `gp3` per GiB and month."""
    database: Database = Database()
    state: State = State()
    dns: Dns = Dns()
    ssl: Ssl = Ssl()
    eip: Eip = Eip()
    allocator: Allocator = Allocator()
    logs: Logs = Logs()
    backup: Backup = Backup()
    notify: tuple[Notify, ...] = ()
    vm_auth: Literal["token", "hostname"] = "token"
    """How VMs prove who they are; `hostname` for client images that send no token."""
    repeat: Literal["pin", "open"] = "pin"
    """Who may reach a seat again: whoever knows its PIN, or anyone with the email."""
    seat_hold: PositiveDuration = parse_duration("5m")
    """How long a seat that came free is kept for the next in line."""
    desired: Desired = Desired()
    public_queries: Flag = False
    """Status and logs without login, as the old system had it."""

    @field_validator("format", mode="before")
    @classmethod
    def _known_format(cls, value: object) -> object:
        if type(value) is not int or value != 1:
            raise refuse("must be 1, the only format that this release reads", "1")
        return value

    @field_validator("pools")
    @classmethod
    def _fill_region(cls, pools: dict[str, Pool], known: ValidationInfo) -> dict[str, Pool]:
        region = known.data.get("region", "")
        return {
            name: pool if pool.region else pool.model_copy(update={"region": region}) for name, pool in pools.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        findings = check_lab(self)
        if findings:
            raise CrossFieldError.of(findings)
        return self
