"""Host names and what can be told from them: `{deployment}-{pool}-{environment}-{n}`, n never used twice. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

OLDER = re.compile(r"lablink-vm-[a-z0-9-]{1,40}-[0-9]{1,6}")
DIGITS = 6
"""Of the number, at most: a tag with a longer one is none of ours."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The names of one deployment."""

    deployment: str
    environment: str
    pools: dict[str, str]  # pool by all of its host name but the number

    @classmethod
    def of(cls, deployment: str, environment: str, pools: Iterable[str]) -> "Naming":
        return cls(deployment, environment, {f"{deployment}-{pool}-{environment}": pool for pool in pools})

    def host(self, pool: str, number: int) -> str:
        return f"{self.deployment}-{pool}-{self.environment}-{number}"

    def parse(self, hostname: str | None) -> tuple[str, int] | None:
        """Pool and number of a host name of ours; None for everything else, also for other spellings of a number."""
        stem, _, digits = (hostname or "").rpartition("-")
        number = number_of(hostname or "")
        return (self.pools[stem], number) if stem in self.pools and str(number) == digits else None


def is_of_older_system(hostname: str | None) -> bool:
    """`lablink-vm-{suffix}-{n}`: ours only where our tags, which `lablink adopt-older` writes, say so."""
    return OLDER.fullmatch(hostname or "") is not None


def number_of(hostname: str) -> int:
    """The number at the end of a host name; 0 when there is none."""
    digits = hostname.rpartition("-")[2]
    counts = digits.isascii() and digits.isdecimal() and len(digits) <= DIGITS
    return int(digits) if counts else 0


def listed(names: Iterable[str], limit: int = 5) -> str:
    """`a, b and 3 more`: names in a sentence that stays readable."""
    names = list(names)
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock(at: datetime) -> str:
    """A moment as sentences show it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
