"""File and record are kept equal; whatever is wrong with the file, the last good version stays in force and is explained."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from controller.desired import sync_desired
from controller.world import World
from schemas.document import edit_lab, parse_lab
from schemas.status import Condition
from store.db import Db, fetch, fetch_one, open_db, transaction
from store.deployment import read_deployment
from store.desired import Change, append_version, read_newest
from store.lease import renew_lease
from tests.controller_world import lead_world
from tests.processes import read_record, record_program

pytestmark = pytest.mark.anyio

FIVE = "pools:\n  client:\n    size: 5  # five seats\n"
EIGHT = FIVE.replace("5 ", "8 ", 1)


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        yield db


@pytest.fixture
async def world(db: Db, dsn: str, tmp_path: Path) -> World:
    return await lead_world(db, dsn, tmp_path / "lablink.yaml")


def edit(world: World, text: str) -> Path:
    """Write the file as an editor would have some seconds ago."""
    path = world.settings.desired_file
    assert path is not None
    path.write_text(text)
    os.utime(path, (time.time() - 10, time.time() - 10))
    return path


async def put(db: Db, text: str, based_on: int | None) -> None:
    async with transaction(db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), based_on)


async def read_condition(db: Db, kind: str) -> Condition | None:
    async with db.connection() as conn:
        return (await read_deployment(conn)).conditions.get(kind)


async def in_force(db: Db) -> tuple[int, str, str]:
    async with db.connection() as conn:
        newest = await read_newest(conn)
    assert newest is not None
    return newest.version, newest.yaml, newest.author


async def test_the_first_file_becomes_the_first_version_and_its_pools_rows(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    assert await in_force(db) == (1, FIVE, "file")
    async with db.connection() as conn:
        pool = await fetch_one(conn, "SELECT name, generation, removed, ami FROM pool")
    assert pool is not None
    assert (pool["name"], pool["generation"], pool["removed"]) == ("client", 1, False)
    assert pool["ami"].startswith("ami-")


async def test_a_file_that_did_not_change_is_no_edit(world: World, db: Db) -> None:
    edit(world, FIVE)
    for _ in range(3):
        await sync_desired(world)
    assert (await in_force(db))[0] == 1


async def test_an_edited_file_becomes_the_next_version(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    edit(world, EIGHT)
    await sync_desired(world)
    assert await in_force(db) == (2, EIGHT, "file")
    async with db.connection() as conn:
        assert [row["generation"] for row in await fetch(conn, "SELECT generation FROM pool")] == [2]


async def test_a_change_of_the_record_is_written_to_the_file(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    path.chmod(0o640)
    await sync_desired(world)
    await put(db, EIGHT, 1)
    await sync_desired(world)
    assert path.read_text() == EIGHT
    assert path.stat().st_mode & 0o777 == 0o640
    await sync_desired(world)
    assert (await in_force(db))[0] == 2


async def test_line_ends_and_a_symbolic_link_survive_what_is_written_back(world: World, db: Db) -> None:
    path = edit(world, "")
    real = path.with_name("real.yaml")
    path.rename(real)
    path.symlink_to(real.name)
    real.write_bytes(FIVE.replace("\n", "\r\n").encode())
    os.utime(real, (0, 0))
    await sync_desired(world)
    text = (await in_force(db))[1]
    await put(db, edit_lab(text, {"pools.client.size": 8}), 1)
    await sync_desired(world)
    assert path.is_symlink()
    assert real.read_bytes() == EIGHT.replace("\n", "\r\n").encode()


async def test_an_invalid_file_changes_nothing_and_is_explained_with_its_place(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    edit(world, FIVE.replace("size", "sise"))
    await sync_desired(world)
    condition = await read_condition(db, "DesiredValid")
    assert condition is not None
    assert not condition.status
    assert "lablink.yaml:3:5: pools.client.sise" in condition.message
    assert "version 1 stays in force" in condition.message
    assert (await in_force(db))[0] == 1
    edit(world, EIGHT)
    await sync_desired(world)
    healed = await read_condition(db, "DesiredValid")
    assert healed is not None
    assert healed.status


@pytest.mark.parametrize(
    "text", ["", "pools", "pools:\n  client:\n    size: [", "\x00\xff", "pools: {client: {size: -1}}"]
)
async def test_a_broken_file_is_never_taken(world: World, db: Db, text: str) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    edit(world, text)
    await sync_desired(world)
    assert (await in_force(db))[:2] == (1, FIVE)
    condition = await read_condition(db, "DesiredValid")
    assert condition is not None
    assert not condition.status


async def test_a_deleted_file_leaves_the_version_in_force(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    await sync_desired(world)
    path.unlink()
    await sync_desired(world)
    condition = await read_condition(db, "DesiredValid")
    assert condition is not None
    assert condition.reason == "FileMissing"
    assert (await in_force(db))[0] == 1
    assert not path.exists()
    edit(world, FIVE)
    await sync_desired(world)
    healed = await read_condition(db, "DesiredValid")
    assert healed is not None
    assert healed.status


async def test_a_file_that_is_being_written_is_not_read_yet(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    await sync_desired(world)
    path.write_text("pools: {}\n")  # just now: perhaps the first half of something
    await sync_desired(world)
    assert (await in_force(db))[0] == 1


async def test_when_both_sides_changed_nothing_is_lost_and_applying_the_file_resolves_it(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    await put(db, EIGHT, 1)
    mine = FIVE.replace("five seats", "mine")
    path = edit(world, mine)
    await sync_desired(world)
    conflict = await read_condition(db, "DesiredConflict")
    assert conflict is not None
    assert conflict.status
    assert (await in_force(db))[:2] == (2, EIGHT)
    assert path.read_text() == mine
    async with db.connection() as conn:
        assert (await read_deployment(conn)).file_text == mine
    await put(db, mine, 2)
    await sync_desired(world)
    resolved = await read_condition(db, "DesiredConflict")
    assert resolved is not None
    assert not resolved.status
    assert (await in_force(db))[:2] == (3, mine)


async def test_a_file_that_cannot_be_written_stays_behind_and_is_no_edit(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    await sync_desired(world)
    await put(db, EIGHT, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as on a full disk; file modes do not stop root
    try:
        await sync_desired(world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    behind = await read_condition(db, "DesiredFileBehind")
    assert behind is not None
    assert behind.status
    assert (path.read_text(), os.listdir(path.parent)) == (FIVE, [path.name])
    await sync_desired(world)
    assert (await in_force(db))[:2] == (2, EIGHT)
    assert path.read_text() == EIGHT


async def test_a_removed_pool_keeps_its_counter_for_its_return(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    async with transaction(db) as conn:
        await conn.execute("UPDATE pool SET counter = 7")
    edit(world, "pools: {}\n")
    await sync_desired(world)
    async with db.connection() as conn:
        assert await fetch(conn, "SELECT removed, counter FROM pool") == [{"removed": True, "counter": 7}]
    edit(world, FIVE)
    await sync_desired(world)
    async with db.connection() as conn:
        assert await fetch(conn, "SELECT removed, counter FROM pool") == [{"removed": False, "counter": 7}]


async def test_a_missing_startup_script_is_refused_and_a_present_one_is_kept_with_the_pool(
    world: World, db: Db
) -> None:
    text = FIVE + "    startup_script: {path: start.sh}\n"
    path = edit(world, text)
    await sync_desired(world)
    async with db.connection() as conn:
        assert await read_newest(conn) is None
    (path.parent / "start.sh").write_text("echo hello\n")
    await sync_desired(world)
    async with db.connection() as conn:
        assert await fetch(conn, "SELECT startup_script FROM pool") == [{"startup_script": "echo hello\n"}]


@pytest.mark.parametrize(
    "name", ["keys/encryption_key", "work/states/run.tfvars.json", ".aws/credentials", "linked.sh", "deployment_secret"]
)
async def test_no_secret_beside_the_file_is_given_to_vms_as_a_script(world: World, db: Db, name: str) -> None:
    path = edit(world, FIVE)
    home = path.parent
    ours = {"keys": home / "keys", "work_dir": home / "work"}
    object.__setattr__(world, "settings", world.settings.model_copy(update=ours))
    await sync_desired(world)
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    if name == "linked.sh":
        (home / "keys").mkdir()
        (home / name).symlink_to(home / "keys" / "log_token")
    (home / name).write_text("secret-word")
    named = FIVE + f"    startup_script: {{path: {name}}}\n"
    await put(db, named, 1)  # by the API, which sees no files
    await sync_desired(world)
    edit(world, named + "# by hand\n")
    await sync_desired(world)
    assert (await in_force(db))[:2] == (2, named)
    async with db.connection() as conn:
        kept = [*await fetch(conn, "SELECT * FROM pool"), *await fetch(conn, "SELECT * FROM deployment")]
    assert "secret-word" not in str(kept)
    assert "that VMs may be given" in str(kept)


async def test_the_author_is_taken_from_the_last_commit(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    git = ["git", "-C", str(path.parent), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "--quiet"], ["add", path.name], ["commit", "--quiet", "-m", "seats"]):
        subprocess.run([*git, *command], check=True)
    await sync_desired(world)
    assert (await in_force(db))[2] == "Ada <ada@example.org>"


async def test_at_rest_a_sync_writes_nothing(world: World, db: Db) -> None:
    edit(world, FIVE)
    await sync_desired(world)
    await sync_desired(world)
    before = await transaction_number(db)
    await sync_desired(world)
    assert await transaction_number(db) == before + 1  # only the question itself took a number


async def transaction_number(db: Db) -> int:
    async with db.connection() as conn:
        row = await fetch_one(conn, "SELECT pg_current_xact_id()::text AS number")
    assert row is not None
    return int(row["number"])


async def test_an_edit_that_is_no_text_is_never_written_over(world: World, db: Db) -> None:
    path = edit(world, FIVE)
    await sync_desired(world)
    await put(db, EIGHT, 1)
    broken = FIVE.replace("five seats", "f\u00fcnf").encode("latin-1")
    path.write_bytes(broken)
    os.utime(path, (time.time() - 10, time.time() - 10))
    assert await sync_desired(world) == 2
    assert path.read_bytes() == broken
    condition = await read_condition(db, "DesiredValid")
    assert condition is not None
    assert (condition.status, condition.reason) == (False, "FileUnreadable")
    assert "version 2 stays in force" in condition.message


async def test_without_git_a_version_is_written_all_the_same(
    world: World, db: Db, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = edit(world, FIVE)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    await sync_desired(world)
    committed = EIGHT + "desired: {git_commit: true}\n"
    await put(db, committed, 1)
    assert await sync_desired(world) == 2
    assert path.read_text() == committed


async def test_the_lease_can_be_renewed_while_git_takes_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, go_on = tmp_path / "bin" / "asked", tmp_path / "bin" / "go-on"
    asked.parent.mkdir()
    os.mkfifo(go_on)
    slow = tmp_path / "bin" / "git"
    slow.write_text(f"#!/bin/sh\n: > {asked}\nread _ < {go_on}\necho 'Ada <ada@example.org>'\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    edit(world, FIVE)
    async with anyio.create_task_group() as group:
        group.start_soon(sync_desired, world)
        with anyio.fail_after(10):
            while not asked.exists():
                await anyio.sleep(0.02)
            await renew_lease(world.db, world.lease, 600)
        await anyio.to_thread.run_sync(go_on.write_text, "\n")
    assert (await in_force(world.db))[2] == "Ada <ada@example.org>"


async def test_git_is_told_none_of_our_secrets(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    seen = record_program(tmp_path / "bin" / "git", shutil.which("git") or "/bin/true")
    monkeypatch.setenv("PATH", f"{seen.parent}:{os.environ['PATH']}")
    for name in ("LABLINK_DEPLOYMENT_SECRET", "LABLINK_DATABASE_DSN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "secret-word")
    edit(world, FIVE)
    await sync_desired(world)
    (record,) = read_record(seen)
    assert "log" in record["arguments"]
    assert record["environment"]["PATH"] == os.environ["PATH"]
    assert "secret-word" not in str(record)
