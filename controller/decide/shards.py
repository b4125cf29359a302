"""Which shard a new VM goes into: states stay small, and the number of an emptied shard is never used again. Pure."""

from collections import Counter

from schemas.decision import AdoptVm, CreateVm

from controller.decide.work import Work

SHARD_SIZE = 50
"""VMs in one Terraform state at most: its runs grow faster than the number of VMs in it."""


def rows_by_shard(work: Work, region: str) -> Counter[int]:
    """Rows that are not gone, and those that this decision adds already."""
    held = Counter(one.vm.shard for one in work.view.vms if one.vm.region == region)
    for action in work.actions:
        if isinstance(action, CreateVm | AdoptVm) and action.spec.region == region:
            held[action.shard] += 1
    return held


def last_shard(work: Work) -> int:
    """The highest number that any shard of the pool, of whatever region, has or had."""
    rows = (one.vm.shard for one in work.view.vms)
    added = (action.shard for action in work.actions if isinstance(action, CreateVm | AdoptVm))
    return max((work.view.row.shards, *rows, *added), default=0)


def allot_shards(held: Counter[int], last: int, number: int) -> list[int]:
    """The lowest shard that is in use and has room, for each of `number` VMs; else a new one after `last`."""
    room = {shard: SHARD_SIZE - rows for shard, rows in sorted(held.items()) if 0 < rows < SHARD_SIZE}
    shards: list[int] = []
    for shard, free in room.items():
        shards += [shard] * min(free, number - len(shards))
    while len(shards) < number:
        last += 1
        shards += [last] * min(SHARD_SIZE, number - len(shards))
    return shards
