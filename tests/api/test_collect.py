"""`GET /api/scp-client` against a real OpenSSH server: one ZIP, hostile names made safe, one VM's trouble noted and not fatal."""

import io
import os
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api import collect
from store.db import transaction
from store.secret import Cipher, keep_secret, read_key, ssh_key_name
from tests.api.sshd import SSHD, Sshd, start_sshd
from tests.api.world import YAML, World, serving
from tests.controller_world import KEY

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path(SSHD).exists(), reason="no OpenSSH server here (.ci/run installs it)"),
]

COLLECTING = YAML + "    extension: slp\n  second: {size: 1, extension: txt}\n  third: {size: 1}\n"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with start_sshd(tmp_path / "vm") as sshd:
        yield sshd


@asynccontextmanager
async def lab(dsn: str, sshd: Sshd, people: int = 1, key: bytes | None = None) -> AsyncIterator[World]:
    """A lab whose VMs of pool client have people, and are all played by one server."""
    async with serving(dsn, yaml=COLLECTING, **sshd.settings) as world:
        await assign(world, "client", people)
        async with transaction(world.db) as conn:
            for pool in ("client", "second", "third"):
                cipher = Cipher(read_key(KEY))
                await keep_secret(conn, cipher, ssh_key_name(pool, "us-west-2"), key or sshd.private)
        yield world


async def assign(world: World, pool: str, people: int) -> list[str]:
    names = await world.add_vms(people, pool=pool)
    await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE state = 'closed'")
    for n in range(people):
        await world.request(f"{pool}{n}@example.org", pool=pool)
    return names


async def fetch(world: World, **params: str) -> zipfile.ZipFile:
    answer = await world.admin.get("/api/scp-client", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), answer.text
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return found


async def refused(world: World, status: int, **params: str) -> str:
    answer = await world.admin.get("/api/scp-client", params=params)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


async def test_files_of_every_assigned_vm_come_in_one_zip(dsn: str, sshd: Sshd) -> None:
    (sshd.home / "work" / "deep").mkdir(parents=True)
    (sshd.home / "work" / "deep" / "a b.slp").write_bytes(b"labels" * 1000)
    (sshd.home / "it's $(touch x).slp").write_bytes(b"")
    (sshd.home / "other.txt").write_text("not wanted")
    (sshd.home / "link.slp").symlink_to("/etc/passwd")
    async with lab(dsn, sshd, people=2) as world:
        await world.add_vms(1, first=9)  # nobody has this one
        found = await fetch(world)
        names = {Path(name).name: name for name in found.namelist()}
        assert set(names) == {"a b.slp", "it's $(touch x).slp"}
        assert {name.split("/")[0] for name in found.namelist()} == {"lab-client-test-1", "lab-client-test-2"}
        assert found.read(names["a b.slp"]) == b"labels" * 1000
        assert len(found.namelist()) == 4
        one = await fetch(world, hostname="lab-client-test-2")
        assert {name.split("/")[0] for name in one.namelist()} == {"lab-client-test-2"}
        (event, *_) = await world.sql("SELECT actor, message FROM event WHERE reason = 'FilesCollected' ORDER BY id")
        assert event == {"actor": "admin/ada", "message": "4 files of 2 VMs are being collected"}


async def test_names_from_a_vm_leave_the_zips_folder_on_no_system(dsn: str, sshd: Sshd) -> None:
    for name in (
        "..\\..\\evil.slp",
        "C:evil.slp",
        "A.slp",
        "a.slp",
        "CON.slp",
        "lpt\u00b9 .slp",
        "\u00e9.slp",
        "e\u0301.slp",
        "new\nline.slp",
        "\u202egpj.slp",
        "x" * 250 + ".slp",
    ):
        (sshd.home / name).write_bytes(b"1")
    (sshd.home / "plain.slp").write_bytes(b"2" * 3_000_000)
    async with lab(dsn, sshd) as world:
        found = await fetch(world)
        names = found.namelist()
        assert len(names) == 12
        assert len({unicodedata.normalize("NFC", name).lower() for name in names}) == 12
        assert not [name for name in names if name.rpartition("/")[2].lower().startswith(("con", "lpt"))]
        for name in names:
            assert name.startswith("lab-client-test-1/")
            assert not {"..", ""} & set(name.split("/"))
            assert not set(name) & set('\\:*?"<>|\n\u202e')
            assert all(len(part.encode()) <= 210 for part in name.split("/"))
        assert sorted(found.getinfo(name).file_size for name in names) == [1] * 11 + [3_000_000]


async def test_a_name_that_is_no_text_is_noted_and_left(dsn: str, sshd: Sshd) -> None:
    (sshd.home / os.fsdecode(b"\xff.slp")).write_bytes(b"1")
    (sshd.home / "good.slp").write_bytes(b"1")
    async with lab(dsn, sshd) as world:
        found = await fetch(world)
        assert "not UTF-8" in found.read("_errors.txt").decode()
        assert any(name.endswith("/good.slp") for name in found.namelist())


async def test_trouble_with_one_vm_is_noted_and_stops_no_other(dsn: str, sshd: Sshd) -> None:
    (sshd.home / "a.slp").write_bytes(b"1")
    async with lab(dsn, sshd) as world:
        await assign(world, "third", 1)
        stranger = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBqUuU1Cn6gk0xDzEXaMPLEonlyaaaaaaaaaaaaaaaaa"
        await assign(world, "second", 1)
        await world.sql("INSERT INTO ssh_host_key (hostname, key) VALUES ('lab-second-test-1', %s)", stranger)
        found = await fetch(world)
        assert [name for name in found.namelist() if name.endswith(".slp")] == [f"lab-client-test-1{sshd.home}/a.slp"]
        errors = found.read("_errors.txt").decode().splitlines()
        assert [line.split(":")[0] for line in errors] == ["lab-second-test-1", "lab-third-test-1"]
        assert ["host key" in errors[0], "extension" in errors[1]] == [True, True]


async def test_host_key_is_pinned_at_first_use_and_another_one_refused(dsn: str, tmp_path: Path) -> None:
    with start_sshd(tmp_path / "first") as first:
        (first.home / "a.slp").write_bytes(b"1")
        async with lab(dsn, first) as world:
            await fetch(world)
            (pinned,) = await world.sql("SELECT hostname, key FROM ssh_host_key")
            assert pinned["key"].startswith("ssh-ed25519 ")
            await fetch(world)  # the same host is let in again
    with start_sshd(tmp_path / "second") as second:
        (second.home / "a.slp").write_bytes(b"1")
        async with serving(dsn, yaml=None, **second.settings) as world:
            assert "host key" in await refused(world, 503)
            assert await world.sql("SELECT hostname, key FROM ssh_host_key") == [pinned]


async def test_nothing_to_collect_is_a_404(dsn: str, sshd: Sshd) -> None:
    async with lab(dsn, sshd) as world:
        assert "none of the 1 VMs" in await refused(world, 404)
        for params in ({"pool": "second"}, {"hostname": "nobody"}, {"pool": "nowhere"}):
            assert "nobody has a VM there" in await refused(world, 404, **params)
        assert (await world.http.get("/api/scp-client")).status_code == 401


async def test_a_vm_that_gives_nothing_is_a_503_that_says_why(dsn: str, sshd: Sshd) -> None:
    (sshd.home / "a.slp").write_bytes(b"1")
    async with lab(dsn, sshd) as world:
        sshd.break_container()
        assert "container is not running" in await refused(world, 503)


async def test_files_beyond_the_limits_are_cut_and_noted(dsn: str, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "LARGEST_FILE", 1_000_000)
    (sshd.home / "a.slp").write_bytes(b"1" * 5_000_000)
    (sshd.home / "b.slp").write_bytes(b"2")
    async with lab(dsn, sshd) as world:
        found = await fetch(world)
        assert "a.slp is not complete: it is larger than 1,000,000 bytes" in found.read("_errors.txt").decode()
        small = next(name for name in found.namelist() if name.endswith("b.slp"))
        assert found.read(small) == b"2"


async def test_a_reader_that_leaves_frees_its_place(dsn: str, sshd: Sshd) -> None:
    (sshd.home / "a.slp").write_bytes(b"1" * 30_000_000)
    async with lab(dsn, sshd) as world:
        for _ in range(collect.COLLECTIONS_AT_ONCE + 1):
            async with world.admin.stream("GET", "/api/scp-client") as answer:
                assert answer.status_code == 200
                await anext(answer.aiter_raw())
        await fetch(world)
