"""The stand-in's way to AWS: reads that go together, waiting that ends, clients that are shared."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.aws_provider.cloud import ClientPool, Cloud, Coalesced, Fallbacks
from sandbox.aws_provider.errors import ProviderError
from sandbox.aws_provider.settings import read_provider_block

SETTINGS = {"region": "us-west-2", "skip_credentials_validation": True, "skip_requesting_account_id": True}


def _cloud(pool: ClientPool, **settings: Any) -> Cloud:
    fallbacks = Fallbacks(endpoint_url="http://127.0.0.1:9", access_key="test", secret_key="test")
    return Cloud(read_provider_block().fill({**SETTINGS, **settings}), fallbacks, pool)


def test_concurrent_reads_share_listings() -> None:
    listings: list[list[str]] = []
    together = threading.Barrier(20)

    def read_many(identities: list[str]) -> Mapping[str, Any]:
        listings.append(identities)
        return {identity: identity.upper() for identity in identities if identity != "missing"}

    reader = Coalesced(read_many)

    def read(identity: str) -> Any:
        together.wait(10)
        return reader.read(identity)

    names = [*(f"i-{n}" for n in range(19)), "missing"]
    with ThreadPoolExecutor(20) as pool:
        found = dict(zip(names, pool.map(read, names), strict=True))
    assert found == {**{name: name.upper() for name in names}, "missing": None}
    assert len(listings) < 20
    assert sorted(name for listing in listings for name in listing) == sorted(names)


def test_a_failed_listing_fails_every_reader_and_the_next_one_works() -> None:
    answers: list[dict[str, int] | None] = [None, {"a": 1, "b": 2}]

    def read_many(identities: list[str]) -> Mapping[str, Any]:
        answer = answers.pop(0)
        if answer is None:
            raise ConnectionError("no listing")
        return answer

    reader = Coalesced(read_many)
    with pytest.raises(ConnectionError, match="no listing"):
        reader.read("a")
    assert reader.read("b") == 2


def test_waiting_ends_when_terraform_stops() -> None:
    cloud = _cloud(ClientPool())
    looked = threading.Event()

    def check() -> bool:
        looked.set()
        return False

    def stop() -> None:
        looked.wait(10)
        cloud.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(ProviderError, match="waiting for EC2 Instance: context canceled"):
        cloud.wait_until(check, "EC2 Instance", timeout_s=60)
    stopper.join()


def test_waiting_ends_at_its_timeout() -> None:
    with pytest.raises(ProviderError, match="timeout while waiting for state"):
        _cloud(ClientPool()).wait_until(lambda: False, "EC2 Instance", timeout_s=0)


def test_clients_are_shared_by_what_makes_them_equal() -> None:
    pool = ClientPool()
    one, other, apart = _cloud(pool), _cloud(pool), _cloud(pool, access_key="another", secret_key="another")
    assert one.client("ec2") is other.client("ec2")
    assert one.client("ec2") is not one.client("ec2", "eu-west-1")
    assert one.client("ec2") is not apart.client("ec2")
