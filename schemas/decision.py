"""What a tick decided: actions for rows, what was held back and why, each VM's bucket and reason, conditions. Data only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.frozen import Frozen
from schemas.spec import VmSpec
from schemas.status import Condition
from schemas.vm import Bucket


class CreateVm(Frozen):
    """A new row, `planned`. The name is new for ever; the shard has room."""

    kind: Literal["create"] = "create"
    pool: str
    hostname: str
    number: int  # the n of the host name; the pool's counter becomes the largest
    shard: int
    spec: VmSpec
    spec_hash: str
    reason: str


class EndVm(Frozen):
    """`draining`, if its seat is not taken when it is written."""

    kind: Literal["end"] = "end"
    pool: str
    hostname: str
    version: int
    reason: str


class MarkLost(Frozen):
    """Its instance is gone: `lost`; an assignment on it ends, or where `moves` its person is first in line for another VM."""

    kind: Literal["lost"] = "lost"
    pool: str
    hostname: str
    version: int
    reason: str
    moves: bool = False


class MarkGone(Frozen):
    """Nothing of it is left in AWS or in Terraform's state: `gone`."""

    kind: Literal["gone"] = "gone"
    pool: str
    hostname: str
    version: int
    reason: str


class RecordInstance(Frozen):
    """A row without instance id whose instance was seen alive in two listings (a run was killed): to be imported."""

    kind: Literal["record"] = "record"
    pool: str
    hostname: str
    version: int
    instance_id: str
    reason: str


class AdoptVm(Frozen):
    """A tagged instance without a present row, explained by its tags: a `live` row (new, or a gone one revived), to be imported."""

    kind: Literal["adopt"] = "adopt"
    pool: str
    hostname: str
    number: int
    shard: int
    instance_id: str
    spec: VmSpec
    spec_hash: str
    reason: str


class StartVm(Frozen):
    """An assigned VM that somebody stopped is started, once."""

    kind: Literal["start"] = "start"
    pool: str
    hostname: str
    version: int
    instance_id: str
    reason: str


class RebootVm(Frozen):
    """A free VM that does not work is rebooted, once, before it is given up; nobody is given it meanwhile."""

    kind: Literal["reboot"] = "reboot"
    pool: str
    hostname: str
    version: int
    reason: str


class EndInstance(Frozen):
    """An instance that no state holds (a duplicate, or an old orphan where that is asked for) is to be terminated."""

    kind: Literal["end_instance"] = "end_instance"
    pool: str
    instance_id: str
    reason: str


class EndBase(Frozen):
    """The base of a pool and region that has no VM left is no longer wanted."""

    kind: Literal["end_base"] = "end_base"
    pool: str
    region: str
    reason: str


class CorrectBase(Frozen):
    """What a pool's VMs share in a region was changed by hand: it is made again as declared. No VM is touched."""

    kind: Literal["correct_base"] = "correct_base"
    pool: str
    region: str
    reason: str


class SetSession(Frozen):
    """The deadline and the warning of the session on a VM; no warning: what was warned of does not hold any more."""

    kind: Literal["set_session"] = "set_session"
    pool: str
    hostname: str
    ends_at: datetime | None
    warning: str
    warning_ends_at: datetime | None
    reason: str


class EndAssignment(Frozen):
    """A session ends by policy, after its warning; the VM is not ended by this; what becomes of it, `session.after` says."""

    kind: Literal["end_assignment"] = "end_assignment"
    pool: str
    hostname: str
    ends_at: datetime | None  # as seen: a deadline that was pushed meanwhile keeps the session
    reason: str
    moves: bool = False  # its person is first in line for another VM


class ReportCourse(Frozen):
    """A course is over: its figures are worked out and kept, once."""

    kind: Literal["report_course"] = "report_course"
    pool: str
    course: str
    seats: int
    from_at: datetime
    to_at: datetime
    reason: str


Action = Annotated[
    CreateVm
    | EndVm
    | MarkLost
    | MarkGone
    | RecordInstance
    | AdoptVm
    | StartVm
    | RebootVm
    | EndInstance
    | EndBase
    | CorrectBase
    | SetSession
    | EndAssignment
    | ReportCourse,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The bucket of one VM (or of an instance without row) and why. Not validated: every tick makes one a VM."""

    subject: str  # host name, or the instance id of an orphan without one
    pool: str | None
    bucket: Bucket
    reason: str


class Held(Frozen):
    """Something that was not done, and what it waits for."""

    pool: str
    what: str  # "create 2", "end lablink-client-dev-3"
    reason: str


class Opening(Frozen):
    """A time at which a schedule asks for VMs, or a course for seats: open now, or one of the next."""

    name: str  # "the window 'workshop'", "course friday"
    size: int
    grows_at: datetime  # when its VMs start to be made
    from_at: datetime
    to_at: datetime
    is_open: bool
    missing: int = 0  # seats of a course that grows or has begun, and that are not there


class PoolOutlook(Frozen):
    """A pool as decided: the figures that the status shows and the conditions that hold now."""

    name: str
    declared: int
    ceiling: int
    present: int  # rows and instances that count towards the ceiling
    buckets: dict[Bucket, int]
    converged: bool
    conditions: tuple[Condition, ...]
    next_at: datetime | None = None  # when a hold-back ends by itself (backoff)
    openings: tuple[Opening, ...] = ()  # of the calendar, in order


class Decision(Frozen):
    now: datetime
    version: int
    actions: tuple[Action, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    held: tuple[Held, ...] = ()
    pools: dict[str, PoolOutlook] = {}
