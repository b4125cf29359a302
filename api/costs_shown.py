"""What `/api/v1/costs` answers, in US dollars. A figure is null where something in it has no price."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from schemas.frozen import Frozen
from schemas.lab import Budget
from schemas.price import Approval


class Month(Frozen):
    """AWS's, in UTC."""

    began: datetime
    ends: datetime


class Price(Frozen):
    """Of one instance per hour, and where it is known from."""

    usd: float
    source: str


class PoolCost(Frozen):
    """What a pool's VMs cost per hour now, this month so far, and by its end. `price` is of its preferred type."""

    name: str
    vms: int
    hourly: float | None
    so_far: float | None
    forecast: float | None
    instance_type: str | None
    price: Price | None


class TierPart(Frozen):
    """Something that the allocator needs, such as its disk."""

    name: str
    hourly: float | None
    source: str


class TierCost(Frozen):
    """What the allocator costs beside the pools."""

    hourly: float | None
    so_far: float | None
    forecast: float | None
    parts: list[TierPart]


EXAMPLE: dict[str, Any] = {
    "currency": "USD",
    "at": "2026-12-04T17:00:00Z",
    "month": {"began": "2026-12-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z"},
    "hourly": 5.4021,
    "so_far": 96.2203,
    "forecast": 803.11,
    "pools": [
        {
            "name": "client",
            "vms": 10,
            "hourly": 5.2602,
            "so_far": 84.1632,
            "forecast": 702.4,
            "instance_type": "g4dn.xlarge",
            "price": {"usd": 0.526, "source": "aws"},
        }
    ],
    "allocator": {"hourly": 0.1419, "so_far": 12.0571, "forecast": 100.71, "parts": []},
    "budget": {"hourly": 30.0, "monthly": 1500.0, "approve_above": None},
    "approval": None,
    "unpriced": [],
    "table": "2026-11-01",
}


class CostsShown(Frozen):
    """What everything costs per hour now, this month so far, and by its end. What has no price is named in `unpriced`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    currency: str
    at: datetime
    month: Month
    hourly: float | None
    so_far: float | None
    forecast: float | None
    pools: list[PoolCost]
    allocator: TierCost
    budget: Budget
    approval: Approval | None
    unpriced: list[str]
    table: str


class UseCost(Frozen):
    """How long an instance ran this month, and what that has cost."""

    pool: str
    instance_type: str
    hours: float
    hourly: float | None
    so_far: float | None
    ended_at: datetime | None


class VmCost(UseCost):
    """Of a VM."""

    hostname: str
    launched_at: datetime | None


class AssignmentCost(UseCost):
    """Of the VM of an assignment while its person had it; nobody is named."""

    number: int
    hostname: str | None
    bound_at: datetime | None


class Approved(Frozen):
    """Growth that waited goes on."""

    version: int
    message: str
