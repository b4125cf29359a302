"""The doctor's way to AWS: clients that give up soon, and what their refusals mean as a finding."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from controller.errors import ADVICE, Cause, classify
from lablink.doctor.finding import Finding, mend, unknown

REFUSALS = (ClientError, BotoCoreError, ResponseParserError)
"""What a call may end with; the last is no answer of AWS, but of what stands in its place."""
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403")
REJECTED = (
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "AuthFailure",
)
NO_KEYS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "ProfileNotFound",
)
LOG_IN = "log in (`aws configure`, or `aws sso login` and AWS_PROFILE), then look with `aws sts get-caller-identity`"


@dataclass(frozen=True)
class Cloud:
    """`played` is the address of what plays AWS, "" for AWS itself."""

    played: str
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Cloud":
        return cls(environ.get("AWS_ENDPOINT_URL", ""))

    def client(self, service: str, region: str) -> Any:
        import boto3  # noqa: PLC0415 - a second that no other command waits for
        from botocore.config import Config  # noqa: PLC0415

        with self._lock:
            if (service, region) not in self._clients:
                make: Any = boto3.client
                config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
                self._clients[service, region] = make(service, region_name=region, config=config)
            return self._clients[service, region]

    def explain(self, check: str, error: Exception) -> Finding:
        """What a call that failed says of a check."""
        code = code_of(error)
        said = " ".join(str(error).split())[:300].rstrip(".")
        if code in NO_KEYS:
            return mend(check, f"AWS was not asked: {said}", LOG_IN)
        if code in REJECTED:
            return mend(check, f"AWS does not accept the credentials: {said}", LOG_IN)
        if code in DENIED:
            return unknown(
                check, f"these credentials may not ask: {said}", "allow it, or ask again as somebody who may"
            )
        if self.played:
            return unknown(check, f"cannot be checked here: {self.played} plays AWS and does not know it")
        return unknown(check, f"AWS did not say: {said}", _advise(f"{code}: {said}"))


def _advise(said: str) -> str:
    cause = classify(said, Cause.PROVIDER)
    return "try again; is there a way to the network?" if cause is Cause.PROVIDER else ADVICE[cause]


def code_of(error: Exception) -> str:
    """AWS's code, or botocore's own name of what happened before AWS was reached."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__
