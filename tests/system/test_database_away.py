"""PostgreSQL stopped and started again, at rest and in mid-apply: the controller stays, waits, and goes on where it was."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from sandbox import postgres
from store.migrate import migrate
from tests.system.lab import Lab, open_lab

LAUNCH_S = 0.4


class Database:
    """A server of the test's own, which it may stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = postgres.start(folder)

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server = postgres.start(self.folder)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "pg")
    anyio.run(migrate, database.server.dsn)
    try:
        yield database
    finally:
        database.stop()
        shutil.rmtree(database.server.folder)


@pytest.fixture
def lab(database: Database, tmp_path: Path) -> Iterator[Lab]:
    with open_lab(database.server.dsn, tmp_path) as lab:
        yield lab


def test_a_database_that_was_away_at_rest_and_in_mid_apply_costs_nothing(lab: Lab, database: Database) -> None:
    lab.declare(2)
    lab.start_controller()
    lab.wait_for_size(2)
    names = lab.live()
    outlast_the_lease(lab, database)
    lab.wait("the lease to be renewed", lambda: lab.rows("SELECT FROM lease WHERE expires_at > now()"))
    assert (lab.live(), lab.calls()["RunInstances"]) == (names, 2)

    lab.fault({"latency": {"RunInstances": LAUNCH_S}})
    lab.declare(6)
    lab.wait("some instances", lambda: lab.instances().total() >= 3)
    outlast_the_lease(lab, database)
    lab.end_faults()
    lab.wait_for_size(6, within_s=90)
    assert set(names) < set(lab.live())
    assert lab.calls()["RunInstances"] == 6
    assert lab.controllers[0].poll() is None


def outlast_the_lease(lab: Lab, database: Database) -> None:
    """The database is away until the controller has given up leading."""
    log = lab.folder / "controller-0.log"
    said = log.read_text().count("no longer leading")
    database.stop()
    lab.wait("the end of its term", lambda: log.read_text().count("no longer leading") > said)
    database.start()
