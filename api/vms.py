"""`/api/v1/vms`: every VM with its bucket and the reason, and what an admin may do to one by name."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from api.answers import Message, Page, VmDetailed, VmShown
from api.binder import Binder
from api.errors import ConflictError, NotFoundError
from api.in_force import DesiredInForce
from api.outlook import View
from api.paging import Limit, NameCursor, page
from api.parts import AnyDb, TheBinder, TheDesired, TheOutlook
from schemas.access import Scope
from schemas.vm import Bucket, Phase, Seat, Vm, VmFacts
from store.assignment import CHANNEL, RECONCILE, release_vm
from store.db import Connection, Db, notify, transaction
from store.event import write_event
from store.evidence import read_evidence
from store.seat import close_seat, drain_seat, lock_pool, read_seat
from store.vm import ask_reboot, cordon_vm, list_vms, read_vm

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
) -> Page[VmShown]:
    """VMs that are not gone, by host name; `status` is what they said of themselves last."""
    async with db.connection() as conn:
        vms = await list_vms(conn, pool=pool, status=status, after=after, limit=limit)
    view = await outlook.read() if vms else None
    return page([describe_vm(vm, view) for vm in vms], limit, lambda vm: vm.hostname)


@get("/vms/{hostname:str}")
async def get_vm(db: AnyDb, outlook: TheOutlook, hostname: FromPath[str]) -> VmDetailed:
    """One VM, also one that is gone; of one that failed what it left behind."""
    shown = describe_vm(await find_vm(db, hostname), await outlook.read())
    async with db.connection() as conn:
        return VmDetailed.model_construct(**dict(shown), evidence=await read_evidence(conn, hostname))


def describe_vm(vm: Vm, view: View | None) -> VmShown:
    """The row and how it is judged."""
    judgement = view.judged.get(vm.hostname) if view else None
    bucket = judgement.bucket if judgement else (Bucket.GONE if vm.phase is Phase.GONE else None)
    facts = {name: getattr(vm, name) for name in VmFacts.model_fields}
    facts |= {"instance_type": vm.spec.instance_type, "assigned": vm.assignment_id is not None, "bucket": bucket}
    # What was validated in the row is not validated again: a page may have a thousand.
    return VmShown.model_construct(**facts | ({"reason": judgement.reason} if judgement else {}))


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
async def post_cordon(request: AnyRequest, db: AnyDb, hostname: FromPath[str]) -> Message:
    """Give this VM to nobody from now on; who has it keeps it."""
    return await cordon(db, request.state.actor, hostname)


async def cordon(db: Db, actor: str, hostname: str) -> Message:
    """Raises, as the others here, NotFoundError or ConflictError."""
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        await lock_pool(conn, vm.pool)
        cordoned = await cordon_vm(conn, hostname, True)
        await close_seat(conn, vm.pool, hostname)  # after: a poll at this moment waits for the row, and frees no seat
        if cordoned:
            await tell(conn, actor, vm, "Cordoned", "nobody is given it until it is uncordoned")
    return Message(message=f"{hostname} is cordoned")


@post("/vms/{hostname:str}/uncordon", status_code=200, scope=Scope.OPERATE)
async def post_uncordon(request: AnyRequest, db: AnyDb, hostname: FromPath[str]) -> Message:
    """Let this VM be given again; if it waits, it is free at once."""
    return await uncordon(db, request.state.actor, hostname)


async def uncordon(db: Db, actor: str, hostname: str) -> Message:
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        if await cordon_vm(conn, hostname, False):
            await tell(conn, actor, vm, "Uncordoned", "it can be given to people again")
            await notify(conn, CHANNEL, hostname)
    return Message(message=f"{hostname} is uncordoned")


@post("/vms/{hostname:str}/release", status_code=200, scope=Scope.OPERATE)
async def post_release(request: AnyRequest, db: AnyDb, binder: TheBinder, hostname: FromPath[str]) -> Message:
    """End the assignment; what becomes of the VM, the pool's `session.after` says."""
    return await release(db, binder, request.state.actor, hostname)


async def release(db: Db, binder: Binder, actor: str, hostname: str) -> Message:
    vm = await find_present(db, hostname)
    then = await _release(db, binder, vm, actor, "released by an admin", renew=True)
    if then is None:
        raise ConflictError(f"nobody has {hostname}: there is nothing to release")
    return Message(message=f"{hostname} is released; {then}")


@post("/vms/{hostname:str}/replace", status_code=200, scope=Scope.OPERATE)
async def post_replace(
    request: AnyRequest, db: AnyDb, binder: TheBinder, hostname: FromPath[str], force: Force = False
) -> Message:
    """Put a new VM in its place. Somebody's VM only with `force`, which ends the assignment."""
    return await replace(db, binder, request.state.actor, hostname, force=force)


async def replace(db: Db, binder: Binder, actor: str, hostname: str, *, force: bool) -> Message:
    vm = await find_present(db, hostname)
    async with transaction(db) as conn:
        drained = await drain_seat(conn, vm.pool, hostname)
        if drained:
            await tell(conn, actor, vm, "ReplaceAsked", "an admin asked for a new one in its place")
        taken = not drained and await read_seat(conn, hostname) is Seat.TAKEN
    if taken and not force:
        raise ConflictError(f"{hostname} is somebody's: release it, or replace it with ?force=true")
    if taken:
        await _release(db, binder, vm, actor, "replaced by an admin", renew=False)
    return Message(message=f"{hostname} will be replaced")


@post("/vms/{hostname:str}/reboot", status_code=200, scope=Scope.OPERATE)
async def post_reboot(request: AnyRequest, db: AnyDb, desired: TheDesired, hostname: FromPath[str]) -> Message:
    """Reboot it, whoever has it; the assignment stays. The controller tells AWS, within seconds."""
    return await reboot(db, desired, request.state.actor, hostname)


async def reboot(db: Db, desired: DesiredInForce, actor: str, hostname: str) -> Message:
    vm = await find_present(db, hostname)
    if vm.phase is not Phase.LIVE:
        raise ConflictError(f"{hostname} has no instance yet: there is nothing to reboot")
    in_force = await desired.read()
    declared = in_force.lab.pools.get(vm.pool) if in_force else None
    if declared and declared.paused:
        raise ConflictError(f"pool {vm.pool} is paused, so nothing is done to {hostname}: resume the pool first")
    async with transaction(db) as conn:
        if await ask_reboot(conn, hostname):  # one that is asked for already is made once
            await tell(conn, actor, vm, "RebootAsked", "an admin asked for a reboot")
    return Message(message=f"{hostname} will be rebooted")


async def _release(db: Db, binder: Binder, vm: Vm, actor: str, reason: str, *, renew: bool) -> str | None:
    """What becomes of it, or None when nobody had it."""
    async with transaction(db) as conn:
        then = await release_vm(conn, vm.pool, vm.hostname, actor, reason, renew=renew)
    await binder.bind(vm.pool)
    return then


async def tell(conn: Connection, actor: str, vm: Vm, reason: str, message: str) -> None:
    """The event of an admin's act; wakes the controller for the pool."""
    await write_event(conn, actor, f"vm/{vm.hostname}", reason, message)
    await notify(conn, RECONCILE, vm.pool)


ROUTES = [get_vms, get_vm, post_cordon, post_uncordon, post_release, post_replace, post_reboot]
