"""A person's claim to a VM: waiting, offered (held for five minutes), active, ended."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from schemas.frozen import Frozen


class AssignmentStatus(StrEnum):
    WAITING = "waiting"
    OFFERED = "offered"
    ACTIVE = "active"
    ENDED = "ended"


class Assignment(Frozen):
    """`id` is a 128-bit capability: whoever holds it may see the assignment, so it is shown to nobody else."""

    id: UUID
    pool: str
    email: str
    status: AssignmentStatus
    hostname: str | None = None
    crd_code: str
    pin: str
    code_version: int = 1
    delivered_version: int = 0
    created_at: datetime
    bound_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None
