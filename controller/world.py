"""What every step of the controller is given: connections, the lease it acts under, and what this process last observed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.ec2 import Ec2
from schemas.decision import Decision
from schemas.settings import Settings
from schemas.snapshot import Listing, Snapshot
from store.db import Db
from store.lease import Lease


@dataclass(frozen=True, slots=True)
class Tick:
    """What was decided, from what."""

    snapshot: Snapshot
    decision: Decision


@dataclass
class Sight:
    """What only this process knows of the cloud. It starts blind, so a new leader acts on nothing before it has looked."""

    listings: dict[str, Listing] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)  # regions whose last listing failed, and why
    observe_only: str | None = "the AWS account has not been checked yet"
    declared: object = None  # the version and scripts that the rows of pools follow
    tick: Tick | None = None  # the last one that was carried through
    busy: bool = False  # something is being made or ended, so look more often


@dataclass(frozen=True)
class World:
    """Passed explicitly; made by `controller.__main__` for each term of leadership."""

    db: Db
    lease: Lease
    settings: Settings
    ec2: Ec2
    wake: Callable[[str, str], None]  # (channel, key): run the handlers of this process that listen there
    sight: Sight = field(default_factory=Sight)
