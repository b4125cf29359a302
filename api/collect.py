"""`GET /api/scp-client`: the files of people's work from the containers of all assigned VMs, streamed into one ZIP as they come.

First every VM is asked what it has, several at once; then the files are fetched one after the other. What cannot be had from
one VM is written into `_errors.txt` and stops no other.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation
from litestar.response import Stream

from api.admins import in_scope
from api.errors import NotFoundError, NotNowError
from api.openapi import answering
from api.parts import AnyDb, TheDesired, TheSettings
from api.ssh import Ssh, VmError, list_files, read_file
from api.zip_stream import SafeNames, ZipStream
from schemas.access import Scope
from schemas.lab import Lab
from store.event import write_event
from store.host_key import Reachable, list_assigned

VISITS_AT_ONCE = 16
COLLECTIONS_AT_ONCE = 2
LARGEST_FILE = 20 * 1024**3
LARGEST_VM = 50 * 1024**3
ERRORS = "_errors.txt"
MOST_SAID = 5
ZIP = "application/zip"

AnyRequest = Request[Any, Any, Any]
Zipped = answering(ZIP)

OfPool = Annotated[str | None, QueryParameter(max_length=63, description="Only from VMs of this pool.")]
OfVm = Annotated[str | None, QueryParameter(max_length=253, description="Only from this VM.")]


class Collections:
    """Bounds how much is collected at once; one for the process."""

    def __init__(self) -> None:
        self.slots = anyio.CapacityLimiter(COLLECTIONS_AT_ONCE)
        self.threads = anyio.CapacityLimiter(COLLECTIONS_AT_ONCE)


@dataclass
class Collection:
    """One ZIP in the making: what each VM has, and what could not be had."""

    ssh: Ssh
    files: dict[Reachable, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    async def ask_all(self, vms: list[Reachable], lab: Lab) -> None:
        """What every VM has, by name; a VM without such files is left out."""
        limiter = anyio.CapacityLimiter(VISITS_AT_ONCE)
        async with anyio.create_task_group() as visits:
            for vm in vms:
                visits.start_soon(self._ask, vm, lab, limiter)
        self.files = dict(sorted(self.files.items(), key=lambda found: found[0].hostname))

    async def _ask(self, vm: Reachable, lab: Lab, limiter: anyio.CapacityLimiter) -> None:
        declared = lab.pools.get(vm.pool)
        if declared is None or not declared.extension:
            self.errors.append(f"{vm.hostname}: pool {vm.pool} declares no `extension` of files to collect")
            return
        try:
            async with limiter, self.ssh.visit(vm) as connection:
                found = await list_files(connection, declared.extension)
        except VmError as error:
            self.errors.append(f"{vm.hostname}: {error}")
        else:
            if found:
                self.files[vm] = found

    @property
    def count(self) -> int:
        return sum(map(len, self.files.values()))

    async def stream(self, limits: Collections) -> AsyncIterator[bytes]:
        """The ZIP, piece by piece."""
        zip_, names = ZipStream(limits.threads), SafeNames()
        async with limits.slots:
            for vm, paths in self.files.items():
                async for piece in self._fetch_vm(zip_, names, vm, paths):
                    yield piece
        if self.errors:
            yield zip_.begin(ERRORS)
            yield await zip_.add("".join(f"{line}\n" for line in sorted(self.errors)).encode())
            yield zip_.end()
        yield zip_.close()

    async def _fetch_vm(
        self, zip_: ZipStream, names: SafeNames, vm: Reachable, paths: list[str]
    ) -> AsyncIterator[bytes]:
        left = LARGEST_VM
        try:
            async with self.ssh.visit(vm) as connection:
                for number, path in enumerate(paths, 1):
                    name = names.choose(vm.hostname, path)
                    yield zip_.begin(name)
                    try:
                        async for chunk in read_file(connection, path, min(LARGEST_FILE, left)):
                            left -= len(chunk)
                            yield await zip_.add(chunk)
                    except VmError as error:
                        self.errors.append(f"{name} is not complete: {error}")
                    yield zip_.end()
                    if connection.is_closed() and number < len(paths):
                        raise VmError(f"the connection was lost; {len(paths) - number} more files are missing")
        except VmError as error:
            self.errors.append(f"{vm.hostname}: {error}")


TheCollections = NamedDependency[SkipValidation[Collections]]


@get(
    "/api/scp-client",
    guards=[in_scope],
    scope=Scope.OPERATE,
    raises=[NotFoundError],
    operation_class=Zipped,
)
async def get_files(
    request: AnyRequest,
    db: AnyDb,
    desired: TheDesired,
    settings: TheSettings,
    collections: TheCollections,
    *,
    pool: OfPool = None,
    hostname: OfVm = None,
) -> Stream:
    """The files with the pool's `extension` from every assigned VM's container, one folder a VM, as one ZIP."""
    in_force = await desired.read()
    async with db.connection() as conn:
        vms = await list_assigned(conn, pool, hostname)
    if not vms or in_force is None:
        raise NotFoundError("nobody has a VM there, so there are no files to collect")
    collection = Collection(Ssh(db, settings))
    if not collections.slots.available_tokens:
        raise NotNowError("two collections are under way already; wait until one of them is done")
    async with collections.slots:
        await collection.ask_all(vms, in_force.lab)
    _check_found(collection, vms)
    told = f"{collection.count} files of {len(collection.files)} VMs are being collected"
    async with db.connection() as conn:
        subject = f"vm/{hostname}" if hostname else f"pool/{pool}" if pool else "pools"
        await write_event(conn, request.state.actor, subject, "FilesCollected", told)
    headers = {
        "Content-Disposition": f'attachment; filename="lablink-{pool or hostname or "files"}.zip"',
        "LabLink-Files": str(collection.count),
        "LabLink-VMs": str(len(collection.files)),
        "X-Accel-Buffering": "no",
    }
    return Stream(collection.stream(collections), media_type=ZIP, headers=headers)


def _check_found(collection: Collection, vms: list[Reachable]) -> None:
    """Raises NotFoundError when no VM has such a file, NotNowError when it may be that one could not be asked."""
    if collection.files:
        return
    if collection.errors:
        raise NotNowError(f"no file could be collected: {'; '.join(sorted(collection.errors)[:MOST_SAID])}")
    raise NotFoundError(f"none of the {len(vms)} VMs that people have holds a file with its pool's extension")


ROUTES = [get_files]
