"""The list of VMs that a page shows of all that are there: filtered, sorted, cut. Pure, over the view that everybody shares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from api.outlook import View
from schemas.vm import Bucket, Vm

PAGE = 50
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One VM and how it is judged."""

    vm: Vm
    bucket: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of the list, as it stands in the address."""

    pool: str = ""
    bucket: str = ""
    words: str = ""
    sort: str = "hostname"
    down: bool = False
    page: int = 1

    def link(self, **changes: Any) -> str:
        """The address of the same list but for these."""
        fields = {name: getattr(self, name) for name in self.__slots__} | {"page": 1} | changes
        fields["down"] = "1" if fields["down"] else ""
        return "?" + urlencode({name: value for name, value in fields.items() if value not in ("", 1, "hostname")})


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "hostname": lambda row: _natural(row.vm.hostname),
    "pool": lambda row: (row.vm.pool, _natural(row.vm.hostname)),
    "bucket": lambda row: (list(Bucket).index(Bucket(row.bucket)), _natural(row.vm.hostname)),
    "age": lambda row: row.vm.created_at,
    "heard": lambda row: row.vm.heard_at or LONG_AGO,
}


def _natural(hostname: str) -> tuple[str, int]:
    """`…-9` before `…-10`."""
    stem, _, number = hostname.rpartition("-")
    return stem, int(number) if number.isdecimal() else 0


def list_rows(view: View, wanted: Filter) -> list[Row]:
    """All that the filter leaves, in its order."""
    judged = {one.subject: one for one in view.decision.judgements}
    rows = []
    for vm in view.snapshot.vms:
        one = judged.get(vm.hostname)
        row = Row(vm, str(one.bucket) if one else str(Bucket.PLANNED), one.reason if one else vm.reason)
        if _fits(row, wanted):
            rows.append(row)
    return sorted(rows, key=SORTS.get(wanted.sort, SORTS["hostname"]), reverse=wanted.down)


def _fits(row: Row, wanted: Filter) -> bool:
    if wanted.pool and row.vm.pool != wanted.pool:
        return False
    if wanted.bucket and row.bucket != wanted.bucket:
        return False
    words = wanted.words.lower().split()
    text = f"{row.vm.hostname} {row.vm.instance_id} {row.vm.zone} {row.vm.spec.instance_type} {row.reason}".lower()
    return all(word in text for word in words)
