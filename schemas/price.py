"""What things cost and what was used: prices as they were asked for, VM-hours of a month, and a change that waits for approval."""

from datetime import datetime
from typing import Literal

from schemas.frozen import Frozen


class LivePrice(Frozen):
    """An on-demand Linux price as AWS's Price List API gave it, in USD per hour."""

    region: str
    instance_type: str
    usd: float
    asked_at: datetime


class Usage(Frozen):
    """Hours of VMs that are alike, in the month that runs (UTC, as AWS bills), up to the moment of the snapshot."""

    pool: str
    region: str
    instance_type: str
    volume_type: str
    volume_size: int  # GiB
    hours: float


class Approval(Frozen):
    """The version in force would cost more per hour than may come unasked: until somebody approves, growth ends at `cleared_usd`."""

    version: int
    cleared_usd: float  # per hour: what the last version that needed no further word may cost
    wanted_usd: float  # per hour: what this one may cost
    state: Literal["waiting", "approved"] = "waiting"
