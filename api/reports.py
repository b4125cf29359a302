"""What VMs say of themselves, written in batches: reports that come while a batch is being written share the next one."""

from collections.abc import Sequence
from dataclasses import replace

from api.batch import Batch
from store.assignment import RECONCILE
from store.db import Db, notify, transaction
from store.event import write_event
from store.vm import Caller, Changed, Report, record_reports


class Reports:
    """`write` returns once the report is committed."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._write = Batch(self._write_many)

    async def write(self, report: Report, known: Caller | None = None) -> None:
        """Nothing has to be written where the VM's row, just read (`known`), says the same."""
        said = report.said()
        if known is None or any(value != getattr(known, name, None) for name, value in said.items()):
            await self._write(report)

    async def _write_many(self, reports: Sequence[Report]) -> Sequence[None]:
        async with transaction(self._db) as conn:
            merged = merge(reports)
            saying_so = {report.hostname for report in merged if report.is_trouble}
            troubled = [vm for vm in await record_reports(conn, merged) if vm.hostname in saying_so]
            for vm in troubled:
                await write_event(conn, "vm", f"vm/{vm.hostname}", "Unhealthy", _trouble(vm))
            for pool in sorted({vm.pool for vm in troubled}):
                await notify(conn, RECONCILE, pool)
        return [None] * len(reports)


def merge(reports: Sequence[Report]) -> list[Report]:
    """One report a VM: of each field, the last that was said."""
    merged: dict[str, Report] = {}
    for report in reports:
        merged[report.hostname] = replace(merged.get(report.hostname, Report(report.hostname)), **report.said())
    return list(merged.values())


def _trouble(vm: Changed) -> str:
    if vm.reclaim_at:
        return f"AWS takes the instance back at {vm.reclaim_at:%F %T} UTC"
    gpu = f", GPU {vm.gpu_health}" if vm.gpu_health else ""
    return f"it reports status {vm.status or 'unknown'}{gpu}"
