"""What all tests share: one embedded PostgreSQL a run, and a freshly migrated database of its own for each test that asks."""

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio
import pytest

from sandbox import postgres
from store.migrate import migrate

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a real server that lives for the run; its database `lablink_template` has the newest schema."""
    with tempfile.TemporaryDirectory(prefix="lablink-test-") as folder, postgres.start(Path(folder) / "pg") as server:
        template = postgres.create_database(server.dsn, "lablink_template")
        anyio.run(migrate, template)
        yield server.dsn


@pytest.fixture
def dsn(postgres_server: str) -> Iterator[str]:
    """A database of this test's own."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(postgres_server, name, template="lablink_template")
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
