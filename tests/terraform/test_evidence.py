"""What a failed VM leaves behind is kept before it ends; of one that is not needed any more nothing is."""

from datetime import UTC, datetime

import pytest

from store.evidence import read_evidence
from store.partition import keep_days
from store.vmlog import TABLE
from tests.terraform.actuation_world import ActuationWorld

pytestmark = pytest.mark.anyio

FAILED = "failed: it reports the status error; replaced"
LINE = "INSERT INTO vm_log (number, at, hostname, event_id, line) VALUES (%s, now(), %s, %s, %s)"


async def give_up(world: ActuationWorld, name: str, reason: str) -> None:
    await world.write(
        "UPDATE vm SET phase = 'draining', reason = %s, version = version + 1 WHERE hostname = %s", reason, name
    )
    await world.write("UPDATE seat SET state = 'draining' WHERE hostname = %s", name)


async def test_evidence_of_a_failed_vm_outlives_it(world: ActuationWorld) -> None:
    broken, spare = await world.plan_vms(2)
    await world.settle()
    async with world.db.connection() as conn:
        await keep_days(conn, TABLE, datetime.now(UTC).date(), 7)
    for number in range(1, 251):
        await world.write(LINE, number, broken, f"e{number}", f"line {number}")
    await give_up(world, broken, FAILED)
    await give_up(world, spare, "more VMs than the 0 declared")
    await world.settle()
    assert await world.running() == []
    async with world.db.connection() as conn:
        kept, nothing = await read_evidence(conn, broken), await read_evidence(conn, spare)
    assert kept
    assert (kept.reason, "could not be read" in kept.console) == (FAILED, False)
    assert kept.log.splitlines() == [f"line {number}" for number in range(51, 251)]
    assert kept.run_id == min(run["id"] for run in await world.runs() if run["creates"])
    assert nothing is None


async def test_a_console_that_cannot_be_read_holds_no_end_back(world: ActuationWorld) -> None:
    (broken,) = await world.plan_vms(1)
    await world.settle()
    world.fault(on="GetConsoleOutput", error="AccessDenied")
    await give_up(world, broken, FAILED)
    await world.settle()
    assert await world.running() == []
    async with world.db.connection() as conn:
        kept = await read_evidence(conn, broken)
    assert kept
    assert kept.console.startswith("(the console output could not be read: reading the console of i-")
