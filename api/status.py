"""`/api/v1/status`, the one document behind `lablink status`, and `/api/v1/why/{vm or pool}`: judgements with their reasons."""

from litestar import get
from litestar.params import FromPath

from api.answers import PoolExplained, Status, VmExplained
from api.errors import NotFoundError
from api.outlook import View
from api.parts import AnyDb, TheDesired, TheOutlook
from api.pools import describe_pool
from api.vms import describe_vm
from schemas.evidence import Evidence
from schemas.release import VERSION
from schemas.status import Event
from schemas.values import nearest
from schemas.vm import Vm
from store.db import Db
from store.deployment import read_deployment
from store.event import read_events
from store.evidence import read_evidence
from store.vm import read_vm

NEWEST = 20


@get("/status")
async def get_status(db: AnyDb, desired: TheDesired, outlook: TheOutlook) -> Status:
    """Version in force, conditions of the deployment, every pool, the newest events."""
    async with db.connection() as conn:
        deployment = await read_deployment(conn)
        events = await read_events(conn, limit=NEWEST)
    view = await outlook.read() if await desired.read() else None
    return Status(
        release=VERSION,
        version=view.decision.version if view else 0,
        conditions=list(deployment.conditions.values()),
        pools=[describe_pool(view, name) for name in view.decision.pools] if view else [],
        events=list(events),
    )


@get("/why/{name:str}")
async def get_why(db: AnyDb, outlook: TheOutlook, name: FromPath[str]) -> PoolExplained | VmExplained:
    """Why a VM is in its bucket and what will be done to it, or what a pool does and waits for."""
    view = await outlook.read()
    if name in view.decision.pools:
        return PoolExplained(**dict(describe_pool(view, name)), events=await _read_about(db, f"pool/{name}"))
    async with db.connection() as conn:
        vm = await read_vm(conn, name) if "\0" not in name else None
        evidence = await read_evidence(conn, name) if vm else None
    if vm is None:
        meant = nearest(name, list(view.decision.pools))
        raise NotFoundError(
            f"there is neither a VM nor a pool {name!r}" + (f"; did you mean {meant!r}?" if meant else "")
        )
    return _explain(vm, view, evidence, await _read_about(db, f"vm/{name}"))


def _explain(vm: Vm, view: View, evidence: Evidence | None, events: list[Event]) -> VmExplained:
    decision = view.decision
    return VmExplained(
        **dict(describe_vm(vm, view)),
        evidence=evidence,
        actions=[action for action in decision.actions if getattr(action, "hostname", None) == vm.hostname],
        held=[held for held in decision.held if held.pool == vm.pool and vm.hostname in held.what],
        run=view.snapshot.runs.get(f"{vm.pool}/{vm.region}/{vm.shard}"),
        events=events,
    )


async def _read_about(db: Db, subject: str) -> list[Event]:
    async with db.connection() as conn:
        return list(await read_events(conn, subject=subject, limit=NEWEST))


ROUTES = [get_status, get_why]
