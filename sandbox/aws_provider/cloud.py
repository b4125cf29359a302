"""The way to AWS: shared boto3 clients, one `Cloud` for every configured provider, and reads that are coalesced.

Made by the servicer from a `provider "aws"` block; resources and data sources reach AWS through `Cloud` alone.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, partial
from time import monotonic
from typing import Any

import boto3
from botocore.config import Config

from sandbox.aws_provider.errors import CloudError, ProviderError, render_cloud_error

_COALESCE_S = 0.01
_MOST_IDS_PER_CALL = 200
_MOST_CLIENTS = 64
_MOST_ATTEMPTS = 3  # botocore waits up to 1 s, then 2 s; the real provider's 25 attempts take minutes
_POLL_S = (0.1, 3.0)  # first and longest pause between two looks at a slow change
_NO_CREDENTIALS = (
    "Give access_key and secret_key in the provider block, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


@dataclass(frozen=True)
class Fallbacks:
    """What holds where the provider block is silent; itself falling back to this process's environment."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None

    def take_endpoint_url(self) -> str | None:
        return self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL")

    def take_region(self) -> str | None:
        return self.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")

    def take_credentials(self) -> tuple[str | None, str | None, str | None]:
        if self.access_key:
            return self.access_key, self.secret_key, None
        read = os.environ.get
        return read("AWS_ACCESS_KEY_ID"), read("AWS_SECRET_ACCESS_KEY"), read("AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class ClientKey:
    """What makes two clients the same client."""

    service: str
    region: str
    endpoint_url: str | None
    credentials: tuple[str | None, str | None, str | None]
    profile: str | None
    attempts: int


def _note_service(parsed: dict[str, Any], model: Any, **_: Any) -> None:
    parsed.setdefault("ResponseMetadata", {})["ServiceId"] = model.service_model.service_id


class ClientPool:
    """boto3 clients of one server, shared by all terraforms that it serves: a session each would cost tens of MB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[ClientKey, Any] = OrderedDict()

    def take(self, key: ClientKey) -> Any:
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(key)
                if len(self._clients) > _MOST_CLIENTS:
                    self._clients.popitem(last=False)
            self._clients.move_to_end(key)
            return self._clients[key]

    @staticmethod
    def _make(key: ClientKey) -> Any:
        access_key, secret_key, token = key.credentials
        session = boto3.Session(access_key, secret_key, token, region_name=key.region, profile_name=key.profile)
        retries: Any = {"total_max_attempts": key.attempts, "mode": "standard"}
        config = Config(max_pool_connections=64, retries=retries)
        make: Callable[..., Any] = session.client
        client = make(key.service, endpoint_url=key.endpoint_url, config=config)
        client.meta.events.register("after-call", _note_service)
        return client


class Coalesced:
    """Turns concurrent reads of single objects into one listing: what is asked for within 10 ms goes together."""

    def __init__(self, read_many: Callable[[list[str]], Mapping[str, Any]]) -> None:
        self._read_many = read_many
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Any]] = {}

    def read(self, identity: str) -> Any:
        """The object, or None when the listing does not have it."""
        with self._lock:
            leads = not self._waiting
            future = self._waiting.setdefault(identity, Future())
        if leads:
            threading.Event().wait(_COALESCE_S)
            with self._lock:
                batch, self._waiting = self._waiting, {}
            self._answer(batch)
        return future.result()

    def _answer(self, batch: dict[str, Future[Any]]) -> None:
        identities = list(batch)
        try:
            found: dict[str, Any] = {}
            for start in range(0, len(identities), _MOST_IDS_PER_CALL):
                found |= self._read_many(identities[start : start + _MOST_IDS_PER_CALL])
        except BaseException as error:  # handed to every caller that waits for this batch, none of them may hang
            for future in batch.values():
                future.set_exception(error)
            return
        for identity, future in batch.items():
            future.set_result(found.get(identity))


class Cloud:
    """One configured provider: region, account, default tags, clients; `stop` ends its waiting (Terraform's SIGINT)."""

    def __init__(self, config: Mapping[str, Any], fallbacks: Fallbacks, pool: ClientPool) -> None:
        self._pool = pool
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._coalesced: dict[tuple[str, str], Coalesced] = {}
        self._endpoints = {name: url for block in config["endpoints"] for name, url in block.items() if url}
        self._endpoint_url = fallbacks.take_endpoint_url()
        self._attempts = max(1, min(_MOST_ATTEMPTS, int(config["max_retries"] or _MOST_ATTEMPTS)))
        self._profile: str | None = config["profile"]
        self.region = _read_region(config, fallbacks)
        self._credentials = _read_credentials(config, fallbacks)
        self.default_tags = _read_default_tags(config)
        self.account_id = self._read_account(config)

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client, its region the provider's unless told."""
        url = self._endpoints.get(service) or self._endpoint_url
        key = ClientKey(service, region or self.region, url, self._credentials, self._profile, self._attempts)
        return self._pool.take(key)

    def coalesced(self, kind: str, region: str, read_many: Callable[[Any, list[str]], Mapping[str, Any]]) -> Coalesced:
        """The shared reader of one kind of EC2 object; `read_many` gets the client and the ids of one batch."""
        with self._lock:
            if (kind, region) not in self._coalesced:
                self._coalesced[kind, region] = Coalesced(partial(read_many, self.client("ec2", region)))
            return self._coalesced[kind, region]

    def arn(self, service: str, resource: str, region: str) -> str:
        """The ARN of something of this account."""
        return f"arn:{partition_of(region)}:{service}:{region}:{self.account_id}:{resource}"

    def wait_until(self, check: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Looks again and again, ever more slowly, until `check` holds; ProviderError at the timeout or on Terraform's stop."""
        deadline, (pause_s, longest_s) = monotonic() + timeout_s, _POLL_S
        while not check():
            if monotonic() > deadline:
                raise ProviderError(f"waiting for {what}: timeout while waiting for state ({timeout_s:.0f} s)")
            if self._stopped.wait(pause_s):
                raise ProviderError(f"waiting for {what}: context canceled")
            pause_s = min(longest_s, pause_s * 2)

    def stop(self) -> None:
        self._stopped.set()

    def _read_account(self, config: Mapping[str, Any]) -> str:
        """Asks STS who we are, as the real provider does unless told not to; ProviderError for bad keys, a wrong account."""
        if config["skip_requesting_account_id"] and config["skip_credentials_validation"]:
            return ""
        try:
            account = str(self.client("sts").get_caller_identity()["Account"])
        except CloudError as error:
            where = "validating provider credentials: retrieving caller identity from STS"
            raise ProviderError(f"Retrieving AWS account details: {where}: {render_cloud_error(error)}") from error
        allowed, forbidden = config["allowed_account_ids"], config["forbidden_account_ids"]
        if (allowed and account not in allowed) or account in (forbidden or []):
            raise ProviderError(f"AWS account ID not allowed: {account}")
        return account


def partition_of(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _read_region(config: Mapping[str, Any], fallbacks: Fallbacks) -> str:
    region = config["region"] or fallbacks.take_region()
    if not region:
        raise ProviderError(
            "Missing region configuration", "Set region in the provider block, or AWS_REGION.", "region"
        )
    if not config["skip_region_validation"] and region not in _known_regions():
        raise ProviderError("Invalid AWS Region", f"invalid AWS Region: {region}", "region")
    return str(region)


@cache
def _known_regions() -> frozenset[str]:
    session = boto3.Session()
    parts = session.get_available_partitions()
    return frozenset(name for part in parts for name in session.get_available_regions("ec2", part))


def _read_credentials(config: Mapping[str, Any], fallbacks: Fallbacks) -> tuple[str | None, str | None, str | None]:
    if config["profile"]:
        return None, None, None
    if config["access_key"]:
        found = config["access_key"], config["secret_key"], config["token"]
    else:
        found = fallbacks.take_credentials()
    if not (found[0] and found[1]):
        raise ProviderError("No valid credential sources found", _NO_CREDENTIALS)
    return found


def _read_default_tags(config: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for block in config["default_tags"] for key, value in (block["tags"] or {}).items()}
