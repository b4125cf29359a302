"""AWS and the provider stand-in, once a run; each test of actuation gets a deployment of its own in them."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from sandbox.aws import RunningAws, start_aws
from sandbox.aws_provider.serve import ReattachServer, serve_reattach
from tests.terraform.actuation_world import ActuationWorld, open_actuation

_numbers = count(1)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with start_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="session")
def provider(aws: RunningAws) -> Iterator[ReattachServer]:
    server = serve_reattach(endpoint_url=aws.url, region=aws.region, access_key="test", secret_key="test")
    yield server
    server.stop()


@pytest.fixture(params=["database", "local"])
def backend(request: pytest.FixtureRequest) -> str:
    """Tests that name it run with each kind of state; others with `database`."""
    return str(request.param)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Modules that are initialised once a run; `test_actuate_ways` looks at what happens without."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, dsn: str, aws: RunningAws, provider: ReattachServer, templates: Path, tmp_path: Path
) -> AsyncIterator[ActuationWorld]:
    kind = request.getfixturevalue("backend") if "backend" in request.fixturenames else "database"
    name = f"lab{next(_numbers)}"
    async with open_actuation(name, dsn, aws, provider, (tmp_path, kind, templates)) as world:
        yield world
        world.end_faults()
