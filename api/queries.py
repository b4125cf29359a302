"""The old system's queries: statuses, the number of free VMs; and the health of this process."""

from typing import Literal

import anyio
from litestar import Response, get
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import FromPath
from pydantic import ConfigDict

from api.admins import admin_unless_public
from api.errors import NotFoundError
from api.parts import AnyDb, TheDesired, TheListener, TheStatuses
from schemas.frozen import Frozen
from store.db import UNREACHABLE, Db
from store.seat import count_free
from store.vm import read_status

CHECK_S = 4.0  # a dead connection is noticed within that, and another is asked


class FreeCount(Frozen):
    """How many VMs a person could get at once."""

    count: int


class StatusShown(Frozen):
    """What a VM last said of itself, `initializing` before its first word."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hostname": "lab-client-prod-7", "status": "running"}]})

    hostname: str
    status: str


class Checks(Frozen):
    """Whether PostgreSQL answers, whether this process hears of changes, and whether anything is declared."""

    database: bool
    listen: bool
    desired: bool


class Health(Frozen):
    """`ready` when all checks hold."""

    status: Literal["ready", "not ready"]
    checks: Checks


@get("/api/unassigned_vms_count")
async def get_free_count(db: AnyDb) -> FreeCount:
    """VMs that a user could get right now."""
    async with db.connection() as conn:
        return FreeCount(count=await count_free(conn))


BY_NAME = ResponseSpec(
    dict[str, str],
    description="Statuses by host name.",
    generate_examples=False,
    examples=[Example(value={"lablink-client-prod-7": "running", "lablink-client-prod-8": "initializing"})],
)


@get("/api/vm-status", guards=[admin_unless_public], raises=[NotFoundError], responses={200: BY_NAME})
async def get_statuses(statuses: TheStatuses) -> Response[bytes]:
    """The status of every VM, by host name; 404 when there are none."""
    rendered = await statuses.read()
    if rendered is None:
        raise NotFoundError("there are no VMs")
    return Response(rendered.encode(), media_type="application/json")


@get("/api/vm-status/{hostname:str}", guards=[admin_unless_public])
async def get_status(db: AnyDb, hostname: FromPath[str]) -> StatusShown:
    """The status of one VM."""
    return StatusShown(hostname=hostname, status=await _read_status(db, hostname))


async def _read_status(db: Db, hostname: str) -> str:
    async with db.connection() as conn:
        status = await read_status(conn, hostname) if "\0" not in hostname else None
    if status is None:
        raise NotFoundError(f"there is no VM {hostname!r}")
    return status


@get("/api/health", responses={503: ResponseSpec(Health, description="Something of it is missing.")})
async def get_health(db: AnyDb, listener: TheListener, desired: TheDesired) -> Response[Health]:
    """Whether this process can do its work: 200 and `ready`, or 503 and what is missing."""
    checks = {"database": False, "listen": listener.connected, "desired": False}
    try:
        with anyio.fail_after(CHECK_S):
            async with db.connection(timeout=CHECK_S) as conn:
                await conn.execute("SELECT 1")
            checks["database"] = True
            checks["desired"] = await desired.read() is not None
    except (*UNREACHABLE, TimeoutError):
        pass  # the checks say it
    ready = all(checks.values())
    body = Health(status="ready" if ready else "not ready", checks=Checks(**checks))
    return Response(body, status_code=200 if ready else 503, headers={} if ready else {"Retry-After": "5"})


ROUTES = [get_free_count, get_statuses, get_status, get_health]
