"""What the record holds of a pool beside its declaration: counters, conditions, and how its last attempts went."""

from datetime import datetime, timedelta
from typing import Literal

from schemas.frozen import Frozen
from schemas.status import Condition

LATELY = timedelta(minutes=10)
"""How long those who left still count when a pool that follows demand shrinks."""


GIVEN_UP_FOR = timedelta(hours=1)
"""How long broken VMs that were given up still count: who fails one after another fails as much as who fails at once."""


class PoolRow(Frozen):
    """The row of one pool. `counter` is the last number given to a host name, `shards` the last shard number."""

    name: str
    generation: int = 1  # rises when the declaration of this pool changes
    observed_generation: int = 0  # the generation that the world was last equal to
    counter: int = 0
    shards: int = 0
    removed: bool = False  # taken out of the file: its VMs drain, its counter stays
    ami: str | None = None  # what the declared AMI resolved to, pinned until the declaration changes
    ami_source: str | None = None  # the declared AMI that `ami` was resolved from
    startup_script: str = ""  # the script's content, read with the version
    failures: int = 0  # failed creating runs in a row
    failed_at: datetime | None = None
    failure: str | None = None  # typed cause of the last one (controller.errors)
    batch: int | None = None  # creates allowed at once after a failure; None: no limit
    conditions: dict[str, Condition] = {}


class Asked(Frozen):
    """How people have asked for a pool's VMs: those in line, and those whose assignment ended within `LATELY`."""

    waiting: int = 0
    left: int = 0
    left_at: datetime | None = None  # when the first of these left


class GivenUp(Frozen):
    """VMs of a pool, all made alike, that were given up as broken within `GIVEN_UP_FOR`."""

    pool: str
    spec_hash: str
    number: int
    first_at: datetime  # when the first of them had ended


class Attendance(Frozen):
    """The people of a course: those of its roster, or without one whoever comes for it."""

    roster: int = 0
    seated: int = 0
    waiting: int = 0
    hosts: frozenset[str] = frozenset()  # the VMs that the seated ones have
    reported: bool = False


class Refusal(Frozen):
    """A place in which AWS refused a VM, why, and when it said so. A quota is the account's in the whole region: no zone."""

    region: str
    zone: str
    instance_type: str
    refused_at: datetime
    market: str = "on-demand"
    cause: Literal["capacity", "quota"] = "capacity"


class Base(Frozen):
    """The base state of a pool in a region: what its VMs stand on."""

    pool: str
    region: str
    wanted: bool = True
    applied_hash: str | None = None  # hash of the variables last applied; None: never
    outputs: dict[str, str] = {}
    drift: str = ""  # what a hand changed of it, in words


class Run(Frozen):
    """One Terraform run as the snapshot needs it: the newest of each state."""

    id: int
    state_key: str  # "{pool}/{region}/base" or "{pool}/{region}/{shard}"
    pool: str
    token: int  # the fencing token it ran under
    started_at: datetime
    must_end_by: datetime
    ended_at: datetime | None = None
    outcome: str = "running"  # running | succeeded | failed | interrupted | refused
    cause: str | None = None
    message: str | None = None
    creates: int = 0
    imports: int = 0
    deletes: int = 0
