"""What a client VM is: its row, joined with what is heard of it, its seat, and what the cloud says of its instance.

Read by `store.vm` and `store.state`, judged by `controller.decide`, shown by `api`.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from schemas.frozen import Frozen
from schemas.spec import VmSpec

MADE_WITH = ("Name", "lablink:generation", "lablink:hostname", "lablink:pool")
"""Tags that each VM is made with and that say whose it is; others may come and go."""


class Phase(StrEnum):
    """How far the row of a VM has come. Only `live` rows can be given to people."""

    PLANNED = "planned"  # decided; no instance recorded yet
    LIVE = "live"  # its instance is recorded
    DRAINING = "draining"  # to be destroyed, or destroyed and not yet terminated
    LOST = "lost"  # its instance is gone; Terraform's state has to forget it
    GONE = "gone"  # history; the name is never used again


class Bucket(StrEnum):
    """The one class that a tick puts each VM into (`controller.decide.classify`)."""

    PLANNED = "planned"
    BOOTING = "booting"
    READY = "ready"
    ASSIGNED = "assigned"
    DRAINING = "draining"
    OUTDATED = "outdated"
    RECLAIMED = "reclaimed"
    FAILED = "failed"
    SILENT = "silent"
    LOST = "lost"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    STOPPED = "stopped"
    GONE = "gone"

    __hash__ = str.__hash__  # an Enum's own is written in Python, and each tick asks some a VM


class Seat(StrEnum):
    """Whether a VM can be bound to a person. `draining` never goes back."""

    CLOSED = "closed"
    FREE = "free"
    TAKEN = "taken"
    DRAINING = "draining"


class VmStatus(StrEnum):
    """What a client VM says of itself (`POST /api/vm-status`)."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    REBOOTING = "rebooting"
    ERROR = "error"


class GpuHealth(StrEnum):
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    NONE = "N/A"


class VmFacts(Frozen):
    """What may be told of a VM. All instants are aware and in UTC."""

    hostname: str
    pool: str
    region: str
    shard: int
    generation: int
    spec_hash: str
    phase: Phase
    in_state: bool  # Terraform's state holds it
    version: int  # rises with each change of the row; updates restate it
    token_version: int = 1
    reason: str = ""  # why the row is in its phase
    instance_id: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    zone: str | None = None
    cordoned: bool = False
    status: VmStatus | None = None
    gpu_health: GpuHealth | None = None
    in_use: bool = False
    reporter: bool = False  # runs our reporter, so that silence means something
    created_at: datetime
    launched_at: datetime | None = None
    ready_at: datetime | None = None
    started_at: datetime | None = None  # when a stopped instance was started again, once
    reboot_asked_at: datetime | None = None
    rebooted_at: datetime | None = None  # when AWS was last told to
    reclaim_at: datetime | None = None  # when AWS takes a spot instance back, as the VM was told
    renewing_since: datetime | None = None  # since when it is made ready for its next person; nobody can be given it
    heard_at: datetime | None = None
    idle_since: datetime | None = None  # since when the software does not run; None: it runs, or nobody has said
    gpu_active_at: datetime | None = None  # when the GPU was last seen to work
    bound_at: datetime | None = None  # of its active assignment, as the next three
    ends_at: datetime | None = None  # the session's deadline, extensions included
    warning: str = ""  # what its person is told: why and when the session is going to end
    warning_ends_at: datetime | None = None
    seat: Seat = Seat.CLOSED
    instance_state: str | None = None  # EC2's word in the last whole listing; None: not in it
    missing_since: datetime | None = None  # first whole listing that lacked the recorded instance


class Listed(Frozen):
    """What EC2 lists of a recorded instance that somebody could have changed by hand. `tags` are those that VMs are made with."""

    instance_type: str
    image_id: str
    security_groups: tuple[str, ...]
    profile: str | None = None
    tags: dict[str, str] = {}


class Vm(VmFacts):
    """One client VM as a tick sees it: with what it is made of, what is listed of it, and the capability of its person."""

    spec: VmSpec
    listed: Listed | None = None  # None: not listed yet
    assignment_id: UUID | None = None


class Instance(Frozen):
    """An EC2 instance that carries our deployment's tag, as listed (DescribeInstances)."""

    instance_id: str
    region: str
    hostname: str | None  # tag lablink:hostname
    pool: str | None  # tag lablink:pool
    generation: int | None  # tag lablink:generation
    state: str  # pending | running | stopping | stopped | shutting-down | terminated
    instance_type: str
    image_id: str
    security_groups: tuple[str, ...] | None = None
    profile: str | None = None
    tags: dict[str, str] = {}  # those of `MADE_WITH` that it has
    assignment: str | None = None  # tag lablink:assignment, see `schemas.token.assignment_tag`
    zone: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    launched_at: datetime
    first_seen_at: datetime
    missing_since: datetime | None = None
    verdict: str | None = None  # 'terminate' once a decision says that it must end outside Terraform

    @property
    def exists(self) -> bool:
        """Whether it costs money or may come back: everything but terminated or missing."""
        return self.state != "terminated" and self.missing_since is None
