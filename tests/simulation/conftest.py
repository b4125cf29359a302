"""One template of a database under the simulation's clock a run."""

import pytest

from tests.simulation.life import Databases


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Databases:
    return Databases(postgres_server)
