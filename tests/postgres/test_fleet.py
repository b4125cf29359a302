"""What a decision's actions do to rows, and that a row which has moved on is left alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from schemas.decision import CreateVm, EndVm, MarkGone, MarkLost, RecordInstance
from schemas.document import parse_lab
from schemas.spec import VmSpec
from schemas.vm import Instance, Phase, Seat, Vm
from store import fleet
from store.assignment import Claim, bind_waiting, request_seats
from store.db import Db, open_db, transaction
from store.desired import Change, append_version
from store.instance import merge_listing
from store.lease import LeaseLost, fenced, release_lease, renew_lease, take_lease
from store.pool import declare_pool
from store.seat import free_seats, lock_pool
from store.state import Observation, read_snapshot

pytestmark = pytest.mark.anyio

TEXT = "pools:\n  client:\n    size: 3\n"
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        lab = parse_lab(TEXT).lab
        async with transaction(db) as conn:
            await append_version(conn, Change(TEXT, lab, "test", "api"), None)
            await declare_pool(conn, "client", "us-west-2", lab.pools["client"].model_dump(mode="json"), "")
        yield db


async def make_vms(db: Db, count: int) -> list[Vm]:
    spec = VmSpec(
        ami="ami-1", instance_type="t3.large", region="us-west-2", volume_size=50, volume_type="gp3", image="i", gpu=False,
        generation=1,
    )  # fmt: skip
    creates = [
        CreateVm(
            pool="client",
            hostname=f"lablink-client-dev-{n}",
            number=n,
            shard=1,
            spec=spec,
            spec_hash="v1:a",
            reason="why",
        )
        for n in range(1, count + 1)
    ]
    async with transaction(db) as conn:
        assert len(await fleet.create_vms(conn, creates)) == count
    return await read_vms(db)


async def read_vms(db: Db) -> list[Vm]:
    snapshot = await read_snapshot(db, Observation({}))
    assert snapshot is not None
    return list(snapshot.vms)


async def seen(db: Db, *instances: Instance, taken_at: datetime = NOW) -> list[str]:
    async with transaction(db) as conn:
        return await merge_listing(conn, "us-west-2", taken_at, instances)


def instance(hostname: str, instance_id: str = "i-1") -> Instance:
    return Instance(
        instance_id=instance_id, region="us-west-2", hostname=hostname, pool="client", generation=1, state="running",
        instance_type="t3.large", image_id="ami-1", launched_at=NOW - timedelta(minutes=10), first_seen_at=NOW,
    )  # fmt: skip


async def test_new_rows_are_planned_with_closed_seats_and_raise_the_counters(db: Db) -> None:
    vms = await make_vms(db, 3)
    snapshot = await read_snapshot(db, Observation({}))
    assert snapshot is not None
    assert [(vm.phase, vm.seat) for vm in vms] == [(Phase.PLANNED, Seat.CLOSED)] * 3
    assert (snapshot.pools["client"].counter, snapshot.pools["client"].shards) == (3, 1)


async def test_a_name_that_exists_is_never_written_twice(db: Db) -> None:
    await make_vms(db, 1)
    create = CreateVm(
        pool="client", hostname="lablink-client-dev-1", number=1, shard=1, spec=(await read_vms(db))[0].spec,
        spec_hash="v1:b", reason="again",
    )  # fmt: skip
    async with transaction(db) as conn:
        assert await fleet.create_vms(conn, [create]) == []
    assert (await read_vms(db))[0].spec_hash == "v1:a"


async def test_ending_spares_a_vm_that_was_given_away_meanwhile(db: Db) -> None:
    vm = (await make_vms(db, 1))[0]
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'live'")
        await free_seats(conn, [vm.hostname])
    decided_on = (await read_vms(db))[0]
    async with transaction(db) as conn:
        await request_seats(conn, [Claim("client", "a@b.org", "4/code", "123456")])
    async with transaction(db) as conn:
        assert [one.hostname for one in await bind_waiting(conn, "client")] == [vm.hostname]
    end = EndVm(pool="client", hostname=vm.hostname, version=decided_on.version, reason="scale in")
    async with transaction(db) as conn:
        await lock_pool(conn, "client")
        assert await fleet.end_vms(conn, [end]) == []
    assert (await read_vms(db))[0].phase == Phase.LIVE


async def test_ending_a_row_that_moved_on_changes_neither_row_nor_seat(db: Db) -> None:
    vm = (await make_vms(db, 1))[0]
    end = EndVm(pool="client", hostname=vm.hostname, version=vm.version + 1, reason="stale")
    async with transaction(db) as conn:
        assert await fleet.end_vms(conn, [end]) == []
    after = (await read_vms(db))[0]
    assert (after.phase, after.seat) == (Phase.PLANNED, Seat.CLOSED)


async def test_a_lost_vm_ends_its_assignment(db: Db) -> None:
    vm = (await make_vms(db, 1))[0]
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'live'")
        await free_seats(conn, [vm.hostname])
    async with transaction(db) as conn:
        await request_seats(conn, [Claim("client", "a@b.org", "4/code", "123456")])
    async with transaction(db) as conn:
        await bind_waiting(conn, "client")
    bound = (await read_vms(db))[0]
    assert bound.assignment_id is not None
    lost = MarkLost(pool="client", hostname=vm.hostname, version=bound.version, reason="terminated in AWS")
    async with transaction(db) as conn:
        assert await fleet.lose_vms(conn, [lost]) == [vm.hostname]
        ended = await (await conn.execute("SELECT status, end_reason FROM assignment")).fetchone()
    after = (await read_vms(db))[0]
    assert (after.phase, after.seat, after.assignment_id) == (Phase.LOST, Seat.DRAINING, None)
    assert ended == {"status": "ended", "end_reason": "terminated in AWS"}


async def test_who_had_a_vm_that_was_taken_back_is_offered_the_next_one_before_others(db: Db) -> None:
    first, second = await make_vms(db, 2)
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'live'")
        await free_seats(conn, [first.hostname])
        await request_seats(conn, [Claim("client", "a@b.org", "4/code", "123456")])
    async with transaction(db) as conn:
        await bind_waiting(conn, "client")
        await request_seats(conn, [Claim("client", "b@b.org", "4/other", "123456")])
    bound = (await read_vms(db))[0]
    lost = MarkLost(pool="client", hostname=first.hostname, version=bound.version, reason="taken back", moves=True)
    async with transaction(db) as conn:
        assert await fleet.lose_vms(conn, [lost]) == [first.hostname]
        await free_seats(conn, [second.hostname])
    async with transaction(db) as conn:
        (offered,) = await bind_waiting(conn, "client")
    assert (offered.id, offered.email, offered.hostname) == (bound.assignment_id, "a@b.org", second.hostname)
    assert offered.status == "offered", "a command is for one use: a fresh one is waited for"
    assert offered.warning == "taken back: you are first in line for another VM"
    async with transaction(db) as conn:
        accepted = await request_seats(conn, [Claim("client", "a@b.org", "4/fresh", "123456", proven=offered.id)])
    assert (accepted["a@b.org"].status, accepted["a@b.org"].hostname) == ("active", second.hostname)


async def test_a_vm_that_terraform_still_holds_is_not_forgotten(db: Db) -> None:
    vm = (await make_vms(db, 1))[0]
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'draining', in_state = true")
        gone = MarkGone(pool="client", hostname=vm.hostname, version=vm.version, reason="terminated")
        assert await fleet.forget_vms(conn, [gone]) == []
        await conn.execute("UPDATE vm SET in_state = false")
        assert await fleet.forget_vms(conn, [gone]) == [vm.hostname]
    assert await read_vms(db) == []


async def test_a_listing_that_says_nothing_new_writes_nothing(db: Db) -> None:
    assert await seen(db, instance("lablink-client-dev-1")) == ["i-1"]
    assert await seen(db, instance("lablink-client-dev-1"), taken_at=NOW + timedelta(seconds=30)) == []


async def test_an_instance_that_vanishes_is_missing_since_the_first_listing_without_it(db: Db) -> None:
    vm = (await make_vms(db, 1))[0]
    await seen(db, instance(vm.hostname))
    record = RecordInstance(pool="client", hostname=vm.hostname, version=vm.version, instance_id="i-1", reason="seen")
    async with transaction(db) as conn:
        assert await fleet.record_instances(conn, [record]) == [vm.hostname]
    first = NOW + timedelta(seconds=30)
    assert await seen(db, taken_at=first) == ["i-1"]
    assert await seen(db, taken_at=first + timedelta(seconds=30)) == []
    assert (await read_vms(db))[0].missing_since == first
    await seen(db, instance(vm.hostname), taken_at=first + timedelta(seconds=60))
    assert (await read_vms(db))[0].missing_since is None


async def test_a_recorded_instance_that_no_listing_ever_held_counts_as_missing(db: Db) -> None:
    await make_vms(db, 1)
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'live', instance_id = 'i-9', launched_at = %s", (NOW,))
    await seen(db, taken_at=NOW + timedelta(minutes=1))
    assert (await read_vms(db))[0].missing_since == NOW + timedelta(minutes=1)


async def test_only_one_controller_holds_the_lease_and_a_takeover_fences_the_old_one(db: Db) -> None:
    first = await take_lease(db, "one", ttl_s=60)
    assert first is not None
    assert await take_lease(db, "two", ttl_s=60) is None
    await release_lease(db, first)
    second = await take_lease(db, "two", ttl_s=60)
    assert second is not None
    assert second.token == first.token + 1
    with pytest.raises(LeaseLost):
        async with fenced(db, first) as conn:
            await conn.execute("DELETE FROM vm")
    with pytest.raises(LeaseLost):
        await renew_lease(db, first, ttl_s=60)


async def test_a_snapshot_names_instances_that_no_row_has_recorded(db: Db) -> None:
    await seen(db, instance(f"lablink-client-dev-{uuid4().hex[:4]}", "i-stray"))
    snapshot = await read_snapshot(db, Observation({}))
    assert snapshot is not None
    assert [i.instance_id for i in snapshot.instances] == ["i-stray"]
