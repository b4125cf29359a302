"""Bad input to the whole process: a file that cannot be taken is said, the last good version goes on, and the next good one is taken."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from store.assignment import Claim, bind_waiting, release_vm, request_seats
from store.db import open_db, transaction
from store.seat import free_seats
from tests.system.lab import Lab, open_lab

POOL = "pools:\n  client:\n    size: {}\n    instance_type: t3.large\n"
BAD = {
    "pools: [": "not valid YAML",
    "": "is empty",
    POOL.format(2)[:-12]: "could not find expected ':'",
    POOL.format(-1): "must be at least 0, not -1",
    POOL.format(10**6): "must be at most 1000, not 1000000",
    POOL.format("many"): "must be a whole number",
    POOL.format(2) + POOL.format(3).removeprefix("pools:\n"): "for the second time",
    "region: us-nowhere-1\n" + POOL.format(2): 'there is no AWS region "us-nowhere-1"',
    POOL.format(2) + "    startup_script: {path: missing.sh}\n": "missing.sh",
}


@pytest.fixture
def lab(dsn: str, tmp_path: Path) -> Iterator[Lab]:
    with open_lab(dsn, tmp_path) as lab:
        yield lab


def test_files_that_cannot_be_taken_change_nothing_and_the_next_good_one_counts(lab: Lab) -> None:
    lab.declare(1)
    lab.start_controller()
    lab.wait_for_size(1)
    names = lab.live()
    for text, words in BAD.items():
        lab.file.write_text(text)
        lab.wait(f"the sentence with {words!r}", lambda words=words: is_refused(lab, words))  # type: ignore[misc]
    lab.file.unlink()
    lab.wait("the sentence of a deleted file", lambda: is_refused(lab, "put it back"))
    assert lab.deployment_condition("DesiredValid")["message"].endswith("version 1 stays in force")
    assert (lab.live(), lab.calls()["RunInstances"]) == (names, 1)
    lab.declare(2)
    lab.wait_for_size(2)
    assert set(names) < set(lab.live())
    assert lab.deployment_condition("DesiredValid")["status"] is True
    assert lab.row("SELECT max(version) AS version FROM desired_version") == {"version": 2}


def is_refused(lab: Lab, words: str) -> bool:
    found = lab.deployment_condition("DesiredValid")
    return not found["status"] and words in found["message"]


def test_a_removed_pool_keeps_the_vm_that_somebody_has_until_it_is_released(lab: Lab) -> None:
    lab.declare(1, "  second:\n    size: 2\n    instance_type: t3.large\n")
    lab.start_controller()
    lab.wait_for_size(3)
    taken = anyio.run(give, lab)
    lab.declare(1)
    lab.wait_for_size(2)
    assert taken in lab.live()
    lab.wait("the reason", lambda: "all in use" in lab.condition("Converged", "second")["message"])
    assert lab.rows("SELECT FROM base WHERE pool = 'second' AND wanted")
    anyio.run(release, lab, taken)
    lab.wait_for_size(1)
    lab.wait("its base to end", lambda: not lab.rows("SELECT FROM base WHERE pool = 'second'"))


async def give(lab: Lab) -> str:
    """Somebody gets a VM of the second pool."""
    hostnames = [name for name in lab.live() if "-second-" in name]
    async with open_db(lab.dsn) as db:
        async with transaction(db) as conn:
            await free_seats(conn, hostnames)
        async with transaction(db) as conn:
            await request_seats(conn, [Claim("second", "ada@example.org", "code", "123456")])
        async with transaction(db) as conn:
            await bind_waiting(conn, "second")
    (row,) = lab.rows("SELECT hostname FROM assignment WHERE status = 'active'")
    return str(row["hostname"])


async def release(lab: Lab, hostname: str) -> None:
    async with open_db(lab.dsn) as db, transaction(db) as conn:
        assert await release_vm(conn, "second", hostname, "ada", "done")
