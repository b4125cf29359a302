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
_LONGEST = ("simulation", "nemesis", "infrastructure", "system", "terraform", "property")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders with the longest tests first: of several workers, none is left with one of them when the others are done."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)


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
