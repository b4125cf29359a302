"""A rehearsal of days in a simulated world: what is assumed (`Plan`), and what came of it (`Report`)."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from schemas.frozen import Frozen

Chance = Annotated[float, Field(ge=0.0, le=1.0)]


class Plan(Frozen):
    """What the simulated world is like. Everything that happens by chance follows from `seed`."""

    start: datetime
    days: Annotated[float, Field(gt=0, le=31)] = 7.0
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    arrivals: dict[str, Annotated[float, Field(ge=0, le=2000)]] = {}  # people a day by pool; "" for all pools
    stay_s: Annotated[float, Field(ge=60, le=7 * 86400)] = 2 * 3600.0
    patience_s: Annotated[float, Field(ge=60, le=7 * 86400)] = 3600.0  # who waits longer goes away
    boot_s: Annotated[float, Field(ge=1, le=86400)] = 240.0  # from launch to ready, as a rule
    apply_s: Annotated[float, Field(ge=1, le=3600)] = 30.0  # a Terraform run
    fail: dict[str, Chance] = {}  # chance that AWS has no capacity, by type or its beginning
    broken: Chance = 0.01  # chance that a VM does not come up
    course: str | None = None  # only the people of this course come
    quick: bool = False  # at most one moment a minute is looked at, for long rehearsals


class Sample(Frozen):
    """How many there are at a moment: VMs that exist, ready and free ones, those in use; people in line."""

    at: datetime
    present: int
    ready: int
    in_use: int
    waiting: int


class Waits(Frozen):
    """Seconds from asking to having a VM, of those who got one."""

    median_s: float = 0.0
    p95_s: float = 0.0
    worst_s: float = 0.0


class SeatsReady(Frozen):
    """A course or a window: how many seats were usable when it began, and when all of them were."""

    name: str
    at: datetime
    wanted: int
    ready: int
    all_ready_at: datetime | None


class PoolReport(Frozen):
    name: str
    people: int
    served: int
    gave_up: int
    waiting: int  # when the rehearsal ended
    at_once: int  # had a VM within seconds
    waits: Waits
    longest_line: int
    created: int
    refused: int  # by AWS, for lack of capacity
    broken: int
    short_lived: int  # created and ended unused within their minimum age
    most: int  # VMs at once
    vm_hours: float
    used_hours: float
    usd: float
    seats: tuple[SeatsReady, ...]
    samples: tuple[Sample, ...]


class Report(Frozen):
    """What came of it, pool by pool. `usd` counts client VMs and the allocator tier."""

    plan: Plan
    ended_at: datetime
    ticks: int
    usd: float
    unpriced: tuple[str, ...]
    pools: tuple[PoolReport, ...]
