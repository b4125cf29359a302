"""What a check of `lablink doctor` says: one line, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    FINE = "fine"
    MEND = "mend"  # must be mended; `lablink doctor` ends with 1
    UNKNOWN = "unknown"  # nothing here can tell


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is what to do next; empty where there is nothing to do."""

    check: str
    verdict: Verdict
    said: str
    advice: str = ""


def fine(check: str, said: str, advice: str = "") -> Finding:
    return Finding(check, Verdict.FINE, said, advice)


def mend(check: str, said: str, advice: str) -> Finding:
    return Finding(check, Verdict.MEND, said, advice)


def unknown(check: str, said: str, advice: str = "") -> Finding:
    return Finding(check, Verdict.UNKNOWN, said, advice)
