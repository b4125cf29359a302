"""`/api/v1/vms`: every VM with its bucket and the reason, and what an admin may do to one by name."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from api.binder import Binder
from api.errors import ConflictError, NotFoundError
from api.outlook import View
from api.paging import Limit, NameCursor, page
from api.parts import AnyDb, TheBinder, TheOutlook
from schemas.access import Scope
from schemas.vm import Phase, Seat, Vm
from store.assignment import CHANNEL, RECONCILE, release_vm
from store.db import Connection, Db, notify, transaction
from store.event import write_event
from store.seat import close_seat, drain_seat, lock_pool, read_seat
from store.vm import cordon_vm, list_vms, read_vm

AnyRequest = Request[Any, Any, Any]
Force = Annotated[bool, QueryParameter(description="End the assignment of the person who has it.")]


@get("/vms")
async def get_vms(
    db: AnyDb,
    outlook: TheOutlook,
    *,
    pool: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
    after: NameCursor = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """VMs that are not gone, by host name."""
    async with db.connection() as conn:
        vms = await list_vms(conn, pool=pool, status=status, after=after, limit=limit)
    found = page(vms, limit, lambda vm: vm.hostname)
    view = await outlook.read() if vms else None
    found["items"] = [describe_vm(vm, view) for vm in vms]
    return found


@get("/vms/{hostname:str}")
async def get_vm(db: AnyDb, outlook: TheOutlook, hostname: FromPath[str]) -> dict[str, Any]:
    """One VM, also one that is gone."""
    return describe_vm(await find_vm(db, hostname), await outlook.read())


def describe_vm(vm: Vm, view: View | None) -> dict[str, Any]:
    """The row and how it is judged. The assignment's id stays out: whoever has it could act as that person."""
    judged = {j.subject: j for j in view.decision.judgements} if view else {}
    judgement = judged.get(vm.hostname)
    described = vm.model_dump(mode="json", exclude={"assignment_id", "spec"})
    described |= {"instance_type": vm.spec.instance_type, "assigned": vm.assignment_id is not None}
    bucket = judgement.bucket if judgement else ("gone" if vm.phase is Phase.GONE else None)
    return described | {"bucket": bucket, "reason": judgement.reason if judgement else vm.reason}


async def find_vm(db: Db, hostname: str) -> Vm:
    """Raises NotFoundError."""
    async with db.connection() as conn:
        vm = await read_vm(conn, hostname) if "\0" not in hostname else None
    if vm is None:
        raise NotFoundError(f"there is no VM {hostname!r}")
    return vm


async def find_present(db: Db, hostname: str) -> Vm:
    """A VM that is still to be used; raises NotFoundError or ConflictError."""
    vm = await find_vm(db, hostname)
    if vm.phase not in (Phase.PLANNED, Phase.LIVE):
        raise ConflictError(f"{hostname} is {vm.phase}: nothing can be done to it any more")
    return vm


@post("/vms/{hostname:str}/cordon", status_code=200, scope=Scope.OPERATE)
async def post_cordon(request: AnyRequest, db: AnyDb, hostname: FromPath[str]) -> dict[str, str]:
    """Give this VM to nobody from now on; who has it keeps it."""
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        await lock_pool(conn, vm.pool)
        cordoned = await cordon_vm(conn, hostname, True)
        await close_seat(conn, vm.pool, hostname)  # after: a poll at this moment waits for the row, and frees no seat
        if cordoned:
            await tell(conn, request, vm, "Cordoned", "nobody is given it until it is uncordoned")
    return {"message": f"{hostname} is cordoned"}


@post("/vms/{hostname:str}/uncordon", status_code=200, scope=Scope.OPERATE)
async def post_uncordon(request: AnyRequest, db: AnyDb, hostname: FromPath[str]) -> dict[str, str]:
    """Let this VM be given again; if it waits, it is free at once."""
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        if await cordon_vm(conn, hostname, False):
            await tell(conn, request, vm, "Uncordoned", "it can be given to people again")
            await notify(conn, CHANNEL, hostname)
    return {"message": f"{hostname} is uncordoned"}


@post("/vms/{hostname:str}/release", status_code=200, scope=Scope.OPERATE)
async def post_release(request: AnyRequest, db: AnyDb, binder: TheBinder, hostname: FromPath[str]) -> dict[str, str]:
    """End the assignment; a clean VM takes this one's place."""
    vm = await find_present(db, hostname)
    if not await _release(request, db, binder, vm, "released by an admin"):
        raise ConflictError(f"nobody has {hostname}: there is nothing to release")
    return {"message": f"{hostname} is released and will be replaced"}


@post("/vms/{hostname:str}/replace", status_code=200, scope=Scope.OPERATE)
async def post_replace(
    request: AnyRequest, db: AnyDb, binder: TheBinder, hostname: FromPath[str], force: Force = False
) -> dict[str, str]:
    """Put a new VM in its place. Somebody's VM only with `force`, which ends the assignment."""
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        drained = await drain_seat(conn, vm.pool, hostname)
        if drained:
            await tell(conn, request, vm, "ReplaceAsked", "an admin asked for a new one in its place")
        taken = not drained and await read_seat(conn, hostname) is Seat.TAKEN
    if taken and not force:
        raise ConflictError(f"{hostname} is somebody's: release it, or replace it with ?force=true")
    if taken:
        await _release(request, db, binder, vm, "replaced by an admin")
    return {"message": f"{hostname} will be replaced"}


async def _release(request: AnyRequest, db: Db, binder: Binder, vm: Vm, reason: str) -> bool:
    async with transaction(db) as conn:
        released = await release_vm(conn, vm.pool, vm.hostname, request.state.actor, reason)
    await binder.bind(vm.pool)
    return released


async def tell(conn: Connection, request: AnyRequest, vm: Vm, reason: str, message: str) -> None:
    """The event of an admin's act; wakes the controller for the pool."""
    await write_event(conn, request.state.actor, f"vm/{vm.hostname}", reason, message)
    await notify(conn, RECONCILE, vm.pool)


ROUTES = [get_vms, get_vm, post_cordon, post_uncordon, post_release, post_replace]
