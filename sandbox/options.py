"""What `lablink up` was asked for."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class BootSeconds:
    """How long a simulated VM takes from launch to running: at least `shortest`, at most `longest` seconds."""

    shortest: float
    longest: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """`3..10`, or one number; raises ValueError with a sentence."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?", text)
        if match is None:
            raise ValueError(f"{text!r} is not a range of seconds such as 3..10")
        shortest = float(match[1])
        longest = float(match[2] or match[1])
        if longest < shortest:
            raise ValueError(f"the range {text} ends before it begins")
        return cls(shortest, longest)


@dataclass(frozen=True, slots=True)
class Options:
    """All paths are absolute. `port` 0: any free one."""

    data: Path
    port: int
    file: Path
    boot: BootSeconds
    stand_in: bool  # our AWS provider; else the registry's
    simulated: bool  # client VMs run in the instances
    browser: bool
