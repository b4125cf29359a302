"""What client VMs post of themselves: status, use, GPU, start-up times; and the calls of our reporter. Bearer token of the VM."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, JSONBody
from pydantic import AliasChoices, AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints

from api.answers import Message
from api.callers import is_hostname
from api.parts import TheIntake
from schemas.frozen import Frozen
from schemas.vm import GpuHealth, VmStatus
from store.assignment import record_delivered
from store.db import transaction
from store.renewal import keep_renewal_key, renew
from store.vm import Report

AnyRequest = Request[Any, Any, Any]
Hostname = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
MOST_GAUGES = 40
LARGEST_GAUGE = 1e15
LONGEST_START_S = 7 * 86_400.0
LAST_INSTANT_S = 253_402_300_800.0  # the end of the year 9999


def _gauges_only(value: Any) -> Any:
    """Numbers by name, a bounded number of them: a VM's word is its user's."""
    if not isinstance(value, dict):
        return value
    gauges = [(name[:64], number) for name, number in value.items() if _is_gauge(name, number)]
    return dict(gauges[:MOST_GAUGES])


def _is_gauge(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST_GAUGE and "\0" not in name  # not for NaN; an integer may be too large for a float


Gauges = Annotated[dict[str, float], BeforeValidator(_gauges_only)]


class StatusReport(BaseModel):
    """Body of `POST /api/vm-status`."""

    hostname: Hostname
    status: VmStatus


class UseReport(BaseModel):
    """Body of `POST /api/update_inuse_status`."""

    hostname: Hostname
    in_use: bool = Field(validation_alias=AliasChoices("status", "inuse"))


class GpuReport(BaseModel):
    """Body of `POST /api/gpu_health`. Utilisation in %, memory in MiB, temperature in °C."""

    hostname: Hostname
    gpu_status: GpuHealth
    gpu_utilization: Number | None = None
    gpu_memory_used: Number | None = None
    gpu_temperature: Number | None = None

    def gauges(self) -> dict[str, float]:
        return self.model_dump(exclude={"hostname", "gpu_status"}, exclude_none=True)


class Heartbeat(BaseModel):
    """Body of a reporter's heartbeat. `code_version_delivered`: the newest command whose desktop was seen running."""

    code_version_delivered: int | None = Field(default=None, ge=0, lt=2**31)
    in_use: bool | None = None
    boot_id: str = Field(default="", max_length=64)
    gauges: Gauges = Field(default={}, description="Numbers by name.")
    reclaim_at: AwareDatetime | None = Field(default=None, description="When AWS takes this spot instance back.")
    renewal_key: Digest | None = Field(
        default=None, description="SHA-256 of the key with which the host renews its token."
    )


class RenewalRequest(BaseModel):
    """Body of a reporter's call for the token that holds now. `key` was drawn on the VM's host; no container sees it."""

    key: str = Field(min_length=32, max_length=256, examples=["5f0c" * 16])


class Renewed(Frozen):
    """The VM's token. `renewing`: what is to be done before it is used (`keep` or `reboot`: a new container, or also a reboot)."""

    token: Annotated[str, Field(examples=["9b57" * 16])]
    renewing: Literal["keep", "reboot"] | None


class ClientTold(Frozen):
    """What the reporter asks for: the number of the newest command, 0 without a person."""

    code_version: int
    assigned: bool


class Times(BaseModel):
    """Body of `POST /api/vm-metrics/{hostname}`: instants in epoch seconds, durations in seconds, gauges beside them."""

    model_config = {"extra": "allow"}

    cloud_init_start: Number | None = None
    cloud_init_end: Number | None = None
    cloud_init_duration_seconds: Number | None = None
    container_start: Number | None = Field(
        None, validation_alias=AliasChoices("container_start", "container_start_time")
    )
    container_end: Number | None = Field(None, validation_alias=AliasChoices("container_end", "container_end_time"))
    container_startup_duration_seconds: Number | None = None

    def gauges(self) -> dict[str, float]:
        """The numbers that are no times."""
        return dict(_gauges_only(self.model_extra or {}))

    def report(self, hostname: str) -> Report:
        """What of it belongs to the VM's row."""
        return Report(
            hostname,
            cloud_init_s=_length(self.cloud_init_duration_seconds, self.cloud_init_start, self.cloud_init_end),
            container_s=_length(self.container_startup_duration_seconds, self.container_start, self.container_end),
            cloud_init_started_at=_instant(self.cloud_init_start),
            cloud_init_ended_at=_instant(self.cloud_init_end),
            container_started_at=_instant(self.container_start),
            container_ended_at=_instant(self.container_end),
        )


def _length(duration: float | None, start: float | None, end: float | None) -> float | None:
    if duration is None and start is not None and end is not None:
        duration = end - start
    return duration if duration is not None and 0 <= duration < LONGEST_START_S else None


def _instant(epoch_s: float | None) -> datetime | None:
    """None for what no clock of a VM shows."""
    return datetime.fromtimestamp(epoch_s, UTC) if epoch_s is not None and 0 < epoch_s < LAST_INSTANT_S else None


@post("/api/vm-status", status_code=200)
async def post_status(request: AnyRequest, data: JSONBody[StatusReport], intake: TheIntake) -> Message:
    """A VM says how far it is."""
    caller = await intake.callers.hear_vm(request, data.hostname)
    await intake.reports.write(Report(data.hostname, status=data.status), caller)
    return Message(message=f"status of {data.hostname} is {data.status}")


@post("/api/update_inuse_status", status_code=200)
async def post_use(request: AnyRequest, data: JSONBody[UseReport], intake: TheIntake) -> Message:
    """A VM says whether its person uses the software."""
    caller = await intake.callers.hear_vm(request, data.hostname)
    await intake.reports.write(Report(data.hostname, in_use=data.in_use), caller)
    return Message(message=f"{data.hostname} is {'in use' if data.in_use else 'not in use'}")


@post("/api/gpu_health", status_code=200)
async def post_gpu(request: AnyRequest, data: JSONBody[GpuReport], intake: TheIntake) -> Message:
    """A VM says how its GPU is."""
    caller = await intake.callers.hear_vm(request, data.hostname, data.gauges())
    await intake.reports.write(Report(data.hostname, gpu_health=data.gpu_status), caller)
    return Message(message=f"GPU of {data.hostname} is {data.gpu_status}")


@post("/api/vm-metrics/{hostname:str}", status_code=200)
async def post_times(request: AnyRequest, hostname: FromPath[str], data: JSONBody[Times], intake: TheIntake) -> Message:
    """A VM says how long its start took, and its gauges."""
    await intake.callers.hear_vm(request, hostname, data.gauges())
    report = data.report(hostname)
    if report != Report(hostname):
        await intake.reports.write(report)
    return Message(message=f"times of {hostname} are noted")


@get("/api/v1/client/{hostname:str}")
async def get_client(request: AnyRequest, hostname: FromPath[str], intake: TheIntake) -> ClientTold:
    """For the reporter: the number of the newest command (0 without a person) and whether the VM has a person."""
    caller = await intake.callers.check_vm(request, hostname)
    return ClientTold(code_version=caller.code_version or 0, assigned=caller.code_version is not None)


@post("/api/v1/client/{hostname:str}/heartbeat", status_code=200)
async def post_heartbeat(
    request: AnyRequest, hostname: FromPath[str], data: JSONBody[Heartbeat], intake: TheIntake
) -> Message:
    """The reporter lives, and what it sees. One that says nothing new costs no transaction of its own."""
    caller = await intake.callers.hear_vm(request, hostname, data.gauges)
    await intake.reports.write(Report(hostname, in_use=data.in_use, reporter=True, reclaim_at=data.reclaim_at), caller)
    if data.renewal_key and not caller.renewable:
        async with transaction(intake.db) as conn:
            await keep_renewal_key(conn, hostname, data.renewal_key)
    seen = data.code_version_delivered
    if seen is not None and caller.delivered_version is not None and seen > caller.delivered_version:
        async with intake.db.connection() as conn:
            await record_delivered(conn, hostname, seen)
    return Message(message="heard")


@post("/api/v1/client/{hostname:str}/renew", status_code=200, raises=[PermissionDeniedException])
async def post_renew(hostname: FromPath[str], data: JSONBody[RenewalRequest], intake: TheIntake) -> Renewed:
    """For the reporter whose token is refused: the one that holds now, by the host's key instead of a token. Harmless again."""
    digest = hashlib.sha256(data.key.encode()).hexdigest()
    async with transaction(intake.db) as conn:
        renewal = await renew(conn, hostname, digest) if is_hostname(hostname) else None
    if renewal is None:
        raise PermissionDeniedException(f"this is not the renewal key of a VM {hostname!r}; it has to be replaced")
    return Renewed(token=intake.callers.token_of(hostname, renewal.token_version), renewing=renewal.renewing)


ROUTES = [post_status, post_use, post_gpu, post_times, get_client, post_heartbeat, post_renew]
