"""A person's claim to a VM: waiting, offered (held until a fresh command comes), active, ended."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from schemas.frozen import Frozen


class AssignmentStatus(StrEnum):
    WAITING = "waiting"
    OFFERED = "offered"
    ACTIVE = "active"
    ENDED = "ended"


class AssignmentFacts(Frozen):
    """What admins see of it. `id` is a 128-bit capability: its holder may follow the assignment and end it."""

    id: UUID
    seq: int  # the place in line; a person who lets an offer run out gets a new one
    pool: str
    email: str
    status: AssignmentStatus
    hostname: str | None = None
    code_version: int = 1
    delivered_version: int = 0
    held: bool = False  # by an admin: the offer has no end
    lapsed: bool = False  # an offer ran out; served again once there is a fresh command
    created_at: datetime
    code_at: datetime | None = None  # when the newest command was given; None: there is none yet
    bound_at: datetime | None = None
    offered_until: datetime | None = None  # of the last offer
    ends_at: datetime | None = None  # the session's deadline
    warning: str = ""  # why and when the session is going to end
    ended_at: datetime | None = None
    end_reason: str | None = None


class Assignment(AssignmentFacts):
    """The row, with its secrets."""

    crd_code: str
    pin: str
