"""What can go wrong outside, as types; translated once, where a cloud's or Terraform's words come in.

    Exception
    ├── RetryLater         the loop runs the step again after `delay_s`
    ├── NeedsOperator      only a person can clear it; the message gives the command
    ├── CloudError         AWS refused or could not be reached (boto3); has a `cause`
    └── LeaseLost          (store.lease) another controller leads

A failed Terraform run is no exception but a tuple of `Failure`: what happened, to which VM, and what to do next.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

HOST = re.compile(r'aws_instance\.vm\[\\?"([a-z0-9-]+)\\?"\]')


class RetryLater(Exception):
    """Nothing is wrong that time does not heal."""

    def __init__(self, delay_s: float, reason: str) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


class NeedsOperator(Exception):
    """The message says what happened, to what, and which command clears it."""


class Cause(StrEnum):
    """Why a run or a call failed. The order is that of the search: what is said most exactly comes first."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    BAD_AMI = "bad_ami"
    LOCK = "lock"
    STATE_DISK_FULL = "state_disk_full"
    STALE_PLAN = "stale_plan"
    CREDENTIALS = "credentials"
    THROTTLING = "throttling"
    NETWORK = "network"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    NO_TERRAFORM = "no_terraform"
    PROVIDER = "provider"
    UNKNOWN = "unknown"


# Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
SIGNS: dict[Cause, re.Pattern[str]] = {
    Cause.CAPACITY: re.compile(
        r"InsufficientInstanceCapacity|InsufficientHostCapacity|InsufficientCapacity|SpotMaxPriceTooLow"
        r"|Unsupported: Your requested instance type .* is not supported in your requested Availability Zone"
    ),
    Cause.QUOTA: re.compile(
        r"(?<!Request)LimitExceeded|MaxSpotInstanceCountExceeded"  # VcpuLimitExceeded, InstanceLimitExceeded, IAM's own…
    ),
    Cause.BAD_AMI: re.compile(r"InvalidAMIID\.\w+|InvalidAMIId|AuthFailure: Not authorized for images"),
    Cause.LOCK: re.compile(r"Error acquiring the state lock|failed to lock \w+ state|[Ss]tate (?:is )?already locked"),
    Cause.STATE_DISK_FULL: re.compile(r"[Nn]o space left on device|disk quota exceeded|[Ff]ile too large"),
    Cause.STALE_PLAN: re.compile(r"Saved plan is stale"),
    Cause.CREDENTIALS: re.compile(
        r"AuthFailure|UnauthorizedOperation|ExpiredToken|InvalidClientTokenId|RequestExpired|AccessDenied|OptInRequired"
        r"|SignatureDoesNotMatch|No valid credential sources|NoCredentials|Unable to locate credentials|account ID not allowed"
    ),
    Cause.THROTTLING: re.compile(r"RequestLimitExceeded|Throttling|TooManyRequests|SlowDown"),
    Cause.NETWORK: re.compile(
        r"connection refused|no such host|i/o timeout|connection reset|network is unreachable|TLS handshake timeout"
        r"|Could not connect to the endpoint|EndpointConnectionError|ConnectTimeout|Connection was closed"
        r"|InternalError|InternalFailure|ServiceUnavailable|Unavailable: |StatusCode: 5\d\d|HTTP response code 5\d\d"
    ),
    Cause.TIMEOUT: re.compile(r"timeout while waiting|context deadline exceeded|ReadTimeout|Read timeout"),
    Cause.INTERRUPTED: re.compile(r"context canceled|execution halted|[Ii]nterrupt"),
    Cause.NO_TERRAFORM: re.compile(r"could not be started: "),
}

ADVICE: dict[Cause, str] = {
    Cause.CAPACITY: "AWS has no such machine free there; another type or zone of the pool is tried, and this one again later.",
    Cause.QUOTA: "The account's quota is used up: ask for more in the console of Service Quotas, or lower the pool's size.",
    Cause.BAD_AMI: "The image does not exist in this region or is not shared with the account: correct `ami` in lablink.yaml.",
    Cause.LOCK: "Another run holds the lock of this state.",
    Cause.STATE_DISK_FULL: "The disk of the controller is full: make room; the run is repeated by itself.",
    Cause.STALE_PLAN: "The state changed after the plan was made; a new plan is made by itself.",
    Cause.CREDENTIALS: "AWS does not accept the credentials or they may not do this: correct them or their policy.",
    Cause.THROTTLING: "AWS asks for fewer calls; the run is repeated after a pause.",
    Cause.NETWORK: "AWS or its endpoint cannot be reached or is in trouble; the run is repeated after a pause.",
    Cause.TIMEOUT: "AWS took longer than allowed; what exists by now is listed before anything is tried again.",
    Cause.INTERRUPTED: "The run was ended before its time; what exists by now is listed before anything is tried again.",
    Cause.NO_TERRAFORM: "Install terraform or tofu 1.10 or newer, or name it in LABLINK_TERRAFORM.",
    Cause.PROVIDER: "The AWS provider refused; see the run's output (`lablink events`).",
    Cause.UNKNOWN: "See the run's output (`lablink events`).",
}

UNCERTAIN = frozenset(
    {Cause.TIMEOUT, Cause.INTERRUPTED, Cause.NETWORK, Cause.LOCK, Cause.STATE_DISK_FULL, Cause.UNKNOWN}
)
"""After these AWS may have made what Terraform's state does not know."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong in a run; `hostname` is None when it concerns no single VM."""

    cause: Cause
    said: str  # Terraform's or AWS's own words
    hostname: str | None = None
    address: str | None = None

    @property
    def message(self) -> str:
        subject = self.hostname or self.address or "the run"
        return f"{subject}: {self.said.rstrip('.')}. {ADVICE[self.cause]}"


class CloudError(Exception):
    """AWS refused, or could not be reached, or gave less than all."""

    def __init__(self, cause: Cause, what: str, said: str) -> None:
        super().__init__(f"{what}: {said.rstrip('.')}. {ADVICE[cause]}")
        self.cause = cause


def classify(text: str, default: Cause = Cause.UNKNOWN) -> Cause:
    """The cause that Terraform's or boto3's words tell."""
    return next((cause for cause, sign in SIGNS.items() if sign.search(text)), default)


def read_failures(messages: Iterable[Mapping[str, Any]]) -> tuple[Failure, ...]:
    """The error diagnostics among the lines of `plan -json` or `apply -json`.

    `apply_errored` names a resource and no cause; the diagnostic of the same address has both.
    """
    return tuple(
        _read_failure(message["diagnostic"])
        for message in messages
        if message.get("type") == "diagnostic" and message.get("diagnostic", {}).get("severity") == "error"
    )


def _read_failure(diagnostic: Mapping[str, Any]) -> Failure:
    said = " ".join(f"{diagnostic.get('summary', '')}: {diagnostic.get('detail', '')}".split()).strip(": ")
    address = diagnostic.get("address")
    found = HOST.search(address or said)
    cause = classify(said, Cause.PROVIDER if address else Cause.UNKNOWN)
    return Failure(cause, said[:1000], found[1] if found else None, address)
