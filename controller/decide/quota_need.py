"""What the declared week will ask of the account's quotas: vCPUs at most, by region, market and the quota that counts them. Pure.

EC2 counts vCPUs a group of families, on-demand and spot apart:
https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lab import Lab, Pool

from controller.decide.forecast import STEP
from controller.decide.schedule import scheduled_now

WEEK = timedelta(days=7)
SIZE = re.compile(r"\.(?:metal-)?(\d*)x(?:large|l)$")
QUOTAS = (
    (r"(g|gr|vt)\d", "G and VT", "L-DB2E81BA", "L-3819A6DF"),
    (r"p[2-4]", "P2 to P4", "L-417A185B", "L-7212CCBC"),
    (r"p\d", "P5 and newer", "L-417A185B", "L-C4BD4855"),
    (r"inf\d", "Inf", "L-1945791B", "L-B5D1601B"),
    (r"trn\d", "Trn", "L-2C3B7624", "L-6B0D517C"),
    (r"dl\d", "DL", "L-6E869C2A", "L-85EED4F7"),
    (r"f\d", "F", "L-74FC7D96", "L-88CF9481"),
    (r"x\d", "X", "L-7295265B", "L-E3A00192"),
    (r"(a|c|d|h|i|im|is|m|r|t|z)\d", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08"),
)
"""First letters of a family, what AWS calls its quota, and the codes for on-demand and spot."""


@dataclass(frozen=True, slots=True)
class QuotaNeed:
    """`vcpus` are those of all the pools' first types at their largest, and of the surge of an update."""

    region: str
    market: str
    quota: str
    code: str  # empty: a family whose quota is not known here
    vcpus: int
    pools: tuple[str, ...]


def find_needs(lab: Lab, now: datetime) -> list[QuotaNeed]:
    """The pools' peaks are added though they may fall on different hours: what is there then is enough in any case."""
    vcpus: dict[tuple[str, str, str, str], int] = defaultdict(int)
    pools: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for name, pool in lab.pools.items():
        if number := find_peak(lab, name, now):
            key = (pool.region, pool.market, *quota_of(pool))
            vcpus[key] += (number + pool.update.surge) * count_vcpus(pool.instance_type[0])
            pools[key].append(name)
    return [QuotaNeed(*key, vcpus[key], tuple(pools[key])) for key in sorted(vcpus)]


def find_peak(lab: Lab, name: str, now: datetime) -> int:
    """The most VMs that a pool is declared to have within a week: its size or `max`, its windows, its courses beside others."""
    pool = lab.pools[name]
    courses = [course for course in lab.courses.values() if course.pool == name]
    own = pool.size if isinstance(pool.size, int) else pool.size.max
    if not pool.schedule and not courses:
        return own
    peak, at = 0, now
    while at < now + WEEK:
        scheduled = scheduled_now(pool, at)
        seats = sum(course.seats for course in courses if course.from_at - STEP <= at < course.to_at)
        peak = max(peak, scheduled.window.size if scheduled else own, seats)
        at += STEP
    return peak


def count_vcpus(instance_type: str) -> int:
    """By the size in its name: four for each `x`, two for what is smaller; 96 for `metal`, as a G4dn has."""
    if found := SIZE.search(instance_type):
        return 4 * int(found[1] or 1)
    return 96 if instance_type.endswith("metal") else 2


def quota_of(pool: Pool) -> tuple[str, str]:
    """Name and code of the quota that counts the pool's first type; the bare family and no code where that is not known."""
    family = pool.instance_type[0].split(".", maxsplit=1)[0]
    for families, quota, on_demand, spot in QUOTAS:
        if re.match(families, family):
            return quota, spot if pool.market == "spot" else on_demand
    return family, ""
