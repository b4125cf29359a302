"""moto and the stand-in in this process, shared by the tests of a file; each test begins with an empty cloud and a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terraform.provider.world import World, open_world


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("provider")) as world:
        yield world


@pytest.fixture
def world(shared_world: World, tmp_path: Path) -> World:
    shared_world.reset()
    shared_world.root = tmp_path
    return shared_world
