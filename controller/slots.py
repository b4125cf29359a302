"""How much actuation does at once: Terraforms by the memory that is free, and creates in flight in a region."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

MOST_TERRAFORMS = 4
KEPT_FREE_GB = 1.5
EACH_GB = 1.0  # Terraform with a real provider process beside it
# RunInstances refills two calls a second for a whole account and region, and an instance runs after about 15 s: with fewer in
# flight, less is made than AWS allows. What comes before its token is refused and tried again by the provider.
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
MOST_CREATES = 30
MOST_EACH = 10
"""Of one run, as Terraform itself has it: so three states are made side by side and not one after the other."""


def count_terraforms(meminfo: Path = Path("/proc/meminfo")) -> int:
    """How many Terraforms this machine bears at once."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free_gb = int(lines["MemAvailable"].split()[0]) / 1024**2
    except (OSError, KeyError, ValueError):  # no Linux
        return 2
    return max(1, min(MOST_TERRAFORMS, int((free_gb - KEPT_FREE_GB) / EACH_GB)))


@dataclass
class Slots:
    """Shared by all runs of a process."""

    terraforms: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(count_terraforms()))
    most_creates: int = MOST_CREATES  # in a region
    _creates: dict[str, int] = field(default_factory=dict)  # in flight by region
    _changed: anyio.Condition = field(default_factory=anyio.Condition)

    @asynccontextmanager
    async def creates(self, region: str, wanted: int) -> AsyncIterator[int]:
        """Between 1 and `wanted` creates, and no more than `MOST_EACH`, that may be in flight until the block ends; waits
        until there is one."""
        if wanted == 0:
            yield MOST_EACH
            return
        async with self._changed:
            while self._creates.get(region, 0) >= self.most_creates:
                await self._changed.wait()
            granted = min(wanted, MOST_EACH, self.most_creates - self._creates.get(region, 0))
            self._creates[region] = self._creates.get(region, 0) + granted
        try:
            yield granted
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._creates[region] -= granted
                    self._changed.notify_all()
