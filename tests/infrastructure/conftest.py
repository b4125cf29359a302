"""One cloud for the tests of a process; it ends with them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.world import Cloud, Deployment

Deploy = Callable[..., Deployment]


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    running = Cloud()
    yield running
    running.stop()


@pytest.fixture
def deploy(cloud: Cloud, tmp_path: Path) -> Deploy:
    """A deployment of that name, its document written."""

    def make(name: str, **document: Any) -> Deployment:
        made = Deployment(cloud, tmp_path / name, name, {"pools": {"client": {}}, **document})
        made.write()
        return made

    return make
