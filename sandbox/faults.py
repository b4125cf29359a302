"""What shall go wrong: the faults asked for, matched against calls, counted, and ended.

`sandbox.fault_injector` asks at each call; the simulated client VMs read `client` over HTTP. Thread-safe; touches nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sandbox.aws_calls import Call

Seconds = Annotated[float, Field(ge=0, le=600)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Refusal(_Strict):
    """Calls of one action are refused: the next `times`, or all until deleted; `seconds` late each."""

    on: str
    error: str = Field(description='an AWS error code; "500" is a bare HTTP 500')
    message: str = "Injected by the sandbox."
    status: int | None = Field(default=None, ge=400, le=599)
    times: int | None = Field(default=None, ge=1)
    where: dict[str, str] = {}
    seconds: Seconds = 0


class Listing(_Strict):
    """DescribeInstances lies. `seconds`: how long it does so; for `slow`, how late each listing is (5 without).

    short: every second instance is left out, the first with it · empty: all are · stale: the last answer from before ·
    error: InternalError. Calls that name instance ids are left alone unless `all`.
    """

    listing: Literal["short", "empty", "slow", "stale", "error"]
    seconds: Seconds | None = None
    times: int | None = Field(default=None, ge=1)
    all: bool = False


class Latency(_Strict):
    """Seconds by which calls of an action (`*`: of any) are late."""

    latency: dict[str, Seconds]


class Kill(_Strict):
    """Done at once and never listed: the instance terminates behind everybody's back."""

    kill: str


class Stop(_Strict):
    """Done at once and never listed: the instance stops behind everybody's back."""

    stop: str


class Hang(_Strict):
    """The simulated client VM of this instance stops talking, and its instance runs on."""

    hang: str


class Boot(_Strict):
    """Simulated client VMs that boot from now on never get ready: all, or the one of that host name."""

    boot: Literal["never"]
    hostname: str = "*"


class Gpu(_Strict):
    """A simulated client VM (or all, `*`) reports this health of its GPU."""

    gpu: Literal["Healthy", "Unhealthy", "N/A"]
    hostname: str = "*"


class Reclaim(_Strict):
    """The simulated client VM of this spot instance tells that AWS takes it back at `at`; `kill` it then."""

    reclaim: str
    at: AwareDatetime


Fault = Refusal | Listing | Latency | Kill | Stop | Hang | Boot | Gpu | Reclaim
_KINDS: dict[str, type[Fault]] = {
    "on": Refusal,
    "listing": Listing,
    "latency": Latency,
    "kill": Kill,
    "stop": Stop,
    "hang": Hang,
    "boot": Boot,
    "gpu": Gpu,
    "reclaim": Reclaim,
}
_Kind = TypeVar("_Kind", Refusal, Listing, Latency, Hang, Boot, Gpu, Reclaim)


class UnknownFaultError(Exception):
    """The request names no fault that exists, or names it wrongly; the message says how."""


def read_fault(content: Any) -> Fault:
    """The fault that a decoded JSON body asks for; its kind is told by its first word."""
    kinds = [kind for word, kind in _KINDS.items() if isinstance(content, dict) and word in content]
    if len(kinds) != 1:
        raise UnknownFaultError(f"A fault is a JSON object with exactly one of {', '.join(_KINDS)}.")
    try:
        return kinds[0].model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UnknownFaultError(f"The fault is not understood: {problems}.") from error


@dataclass
class _Entry:
    id: int
    fault: Fault
    begun_at: float  # on the monotonic clock given to Faults
    used: int = 0

    def is_over(self, now: float) -> bool:
        times = getattr(self.fault, "times", None)
        if times is not None and self.used >= times:
            return True
        limit = self.fault.seconds if isinstance(self.fault, Listing) and self.fault.listing != "slow" else None
        return limit is not None and now - self.begun_at >= limit


class Faults:
    """The faults in force, in the order in which they came; the first that fits a call is used."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        with self._lock:
            entry = _Entry(self._next_id, fault, self._clock())
            self._next_id += 1
            self._entries.append(entry)
            return entry.id

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def take_refusal(self, call: Call) -> Refusal | None:
        """The refusal that this call meets, counted as used."""
        return self._take(Refusal, lambda fault: fault.on == call.action and call.matches(fault.where))

    def take_listing(self, call: Call) -> Listing | None:
        """The lie that this call meets, counted as used."""
        whole = call.lists_instances
        return self._take(Listing, lambda fault: whole or (fault.all and call.action == "DescribeInstances"))

    def read_latency_s(self, call: Call) -> float:
        with self._lock:
            tables = [entry.fault.latency for entry in self._entries if isinstance(entry.fault, Latency)]
        return max((table.get(call.action, table.get("*", 0.0)) for table in tables), default=0.0)

    def read_all(self) -> dict[str, Any]:
        """`faults`: each with its id and how often it was used, spent ones too; `client`: what client VMs shall do."""
        with self._lock:
            now = self._clock()
            listed = [
                {
                    "id": entry.id,
                    "fault": entry.fault.model_dump(mode="json", exclude_none=True),
                    "used": entry.used,
                    "over": entry.is_over(now),
                }
                for entry in self._entries
            ]
        return {"faults": listed, "client": self._read_client()}

    def _read_client(self) -> dict[str, Any]:
        return {
            "hang": [fault.hang for fault in self._find(Hang)],
            "boot_never": [fault.hostname for fault in self._find(Boot)],
            "reclaim": {fault.reclaim: fault.at.isoformat() for fault in self._find(Reclaim)},
            "gpu": {fault.hostname: fault.gpu for fault in self._find(Gpu)},
        }

    def _find(self, kind: type[_Kind]) -> list[_Kind]:
        with self._lock:
            return [entry.fault for entry in self._entries if isinstance(entry.fault, kind)]

    def _take(self, kind: type[_Kind], fits: Callable[[_Kind], bool]) -> _Kind | None:
        with self._lock:
            now = self._clock()
            for entry in self._entries:
                if isinstance(entry.fault, kind) and not entry.is_over(now) and fits(entry.fault):
                    entry.used += 1
                    return entry.fault
            return None
