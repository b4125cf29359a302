"""Backups for real: pg_dump and pg_restore, sealed files, folders and a bucket; what is restored is safe to start."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from controller.backups import DONE, back_up_when_due
from controller.ec2 import Ec2
from controller.errors import RetryLater
from controller.world import World
from lablink import backup_database
from lablink.backup import (
    MANIFEST,
    STATES,
    Vault,
    choose_backup,
    drill,
    find_place,
    make_backup,
    prune_backups,
    restore_backup,
    verify_backup,
)
from lablink.backup_file import BackupWriter
from lablink.backup_place import SUFFIX, FolderPlace
from lablink.errors import Failed
from lablink.named_instances import find_highest, list_named
from sandbox.moto_server import MotoServer
from sandbox.postgres import drop_database
from schemas.document import parse_lab
from schemas.settings import Settings
from store.db import open_db, transaction
from store.desired import Change, append_version
from store.lease import take_lease
from store.secret import Cipher
from tests.processes import read_record, record_program

KEY = base64.b64encode(bytes(range(32))).decode()
TEXT = "pools: {client: {size: 2}}\nbackup: {bucket: kept, every: 6h, keep: 2}\n"
WORLD = """
INSERT INTO pool (name, counter) VALUES ('client', 7);
INSERT INTO lease (name, holder, token, expires_at) VALUES ('controller', 'me', 41, now() + interval '1 hour')
    ON CONFLICT (name) DO UPDATE SET token = 41;
INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase) VALUES
    ('lablink-client-dev-1', 'client', 'us-west-2', 1, 1, 'v1:a', '{}', 'live'),
    ('lablink-client-dev-2', 'client', 'us-west-2', 1, 1, 'v1:a', '{}', 'live');
INSERT INTO assignment (id, pool, email, status, hostname, crd_code, pin) VALUES
    ('11111111-1111-1111-1111-111111111111', 'client', 'ada@example.org', 'active', 'lablink-client-dev-1', 'c', '1');
INSERT INTO seat (hostname, pool, state, assignment_id) VALUES
    ('lablink-client-dev-1', 'client', 'taken', '11111111-1111-1111-1111-111111111111'),
    ('lablink-client-dev-2', 'client', 'free', NULL);
INSERT INTO run (state_key, pool, token, must_end_by) VALUES ('client/us-west-2/1', 'client', 41, now());
INSERT INTO tf_state (state_key, content, lock_run, lock_info) VALUES ('client/us-west-2/1', 'x', 1, '{"ID": "a"}');
"""


@pytest.fixture
def vault(dsn: str, tmp_path: Path) -> Iterator[Vault]:
    with psycopg.connect(dsn) as conn:
        conn.execute(WORLD)
    settings = Settings(database_dsn=dsn, deployment_secret="s", encryption_key=KEY, work_dir=tmp_path / "work")
    lab = parse_lab(TEXT).lab
    yield Vault(settings, lab, FolderPlace(tmp_path / "backups"), Cipher(base64.b64decode(KEY)))
    with psycopg.connect(dsn, dbname="postgres") as conn:
        names = [
            str(row[0])
            for row in conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lablink\\_before%'")
        ]
    for name in names:
        drop_database(dsn, name)


def read(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as conn:
        return list(conn.execute(statement).fetchall())


def write(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(statement)


def databases(dsn: str) -> list[str]:
    return [row[0] for row in read(dsn, "SELECT datname FROM pg_database WHERE datname ~ 'verify|drill|restored'")]


def test_a_restored_record_is_whole_and_safe_to_start(vault: Vault) -> None:
    dsn, state = (
        vault.settings.database_dsn,
        vault.settings.work_dir / "states/local/client/us-west-2/1/terraform.tfstate",
    )
    state.parent.mkdir(parents=True)
    state.write_text('{"serial": 1}')
    name, manifest = make_backup(vault)
    assert manifest["rows"]["assignment"] == 1
    state.write_text("lost")
    write(dsn, "DELETE FROM assignment; DELETE FROM vm; INSERT INTO pool (name) VALUES ('later')")
    aside = restore_backup(vault, name, {"client": 12})
    assert read(dsn, "SELECT email, status FROM assignment") == [("ada@example.org", "active")]
    assert read(dsn, "SELECT state FROM seat ORDER BY hostname") == [("taken",), ("closed",)]
    assert read(dsn, "SELECT name, counter FROM pool") == [("client", 1012)]
    assert read(dsn, "SELECT token FROM lease WHERE expires_at <= now()") == [(1041,)]
    assert read(dsn, "SELECT outcome FROM run WHERE ended_at IS NOT NULL") == [("interrupted",)]
    assert read(dsn, "SELECT content, lock_info FROM tf_state") == [(b"x", None)]
    assert read(dsn, "SELECT reason FROM event") == [("Restored",)]
    assert state.read_text() == '{"serial": 1}'
    assert aside is not None
    former = str(psycopg.conninfo.make_conninfo(dsn, dbname=aside))
    assert read(former, "SELECT name FROM pool ORDER BY name") == [("client",), ("later",)]
    assert databases(dsn) == []


@pytest.mark.parametrize(
    "part",
    ["../out/terraform.tfstate", "a/../../../../out/terraform.tfstate", "{}/out/terraform.tfstate", "a/other", ""],
)
def test_a_restore_writes_nothing_beside_the_states(vault: Vault, tmp_path: Path, part: str) -> None:
    """Sealed under the right key, and still not believed."""
    name = "lablink-dev-20260101T000000Z" + SUFFIX
    with vault.place.writing(name) as target:
        writer = BackupWriter(target, vault.cipher)
        writer.begin(MANIFEST)
        writer.begin(STATES + part.format(tmp_path))
        writer.write(b"hostile")
        writer.end()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(Failed, match="no place for a state of Terraform"):
        restore_backup(vault, name, {})
    assert set(tmp_path.rglob("*")) == before


def test_a_restore_waits_until_nobody_uses_the_record(vault: Vault) -> None:
    dsn = vault.settings.database_dsn
    name, _ = make_backup(vault)
    with psycopg.connect(dsn) as busy:
        busy.execute("SELECT 1")
        with pytest.raises(Failed, match="in use by 1 sessions: stop LabLink first"):
            restore_backup(vault, name, {})
    assert read(dsn, "SELECT count(*) FROM vm") == [(2,)]
    assert databases(dsn) == []


def test_a_lost_database_is_made_anew(vault: Vault) -> None:
    dsn = vault.settings.database_dsn
    name, _ = make_backup(vault)
    drop_database(dsn, str(conninfo_to_dict(dsn)["dbname"]))
    assert restore_backup(vault, name, {}) is None
    assert read(dsn, "SELECT count(*) FROM vm") == [(2,)]


def test_a_backup_gives_nothing_away_and_no_change_of_it_is_taken(vault: Vault, tmp_path: Path) -> None:
    name, _ = make_backup(vault)
    path = tmp_path / "backups" / name
    content = path.read_bytes()
    assert b"ada@example.org" not in content
    assert b"PGDMP" not in content
    harms = {
        "cut short": content[: len(content) // 2],
        "damaged": content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
        "no backup": b"PK" + content,
    }
    for said, harmed in harms.items():
        path.write_bytes(harmed)
        with pytest.raises(Failed, match=said):
            verify_backup(vault, name)
    path.write_bytes(content)
    stranger = Vault(vault.settings, vault.lab, vault.place, Cipher(bytes(32)))
    with pytest.raises(Failed, match="another encryption key"):
        verify_backup(stranger, name)
    assert databases(vault.settings.database_dsn) == []


def test_the_newest_backups_are_kept_and_others_files_left(vault: Vault, tmp_path: Path) -> None:
    other = tmp_path / "backups" / "another-prod-20200101.backup"
    other.parent.mkdir()
    other.write_bytes(b"")
    names = [make_backup(vault)[0] for _ in range(3)]
    assert prune_backups(vault) == names[:1]
    assert vault.place.names() == sorted([other.name, *names[1:]])
    assert choose_backup(vault, "latest") == names[-1]
    with pytest.raises(Failed, match="no backup nothing"):
        choose_backup(vault, "nothing")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = MotoServer()
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield server.url
    server.stop()


def client(service: Any) -> Any:
    make: Any = boto3.client
    return make(service, region_name="us-west-2")


def test_backups_go_to_the_documents_bucket_on_schedule_by_the_leader(
    vault: Vault, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    import anyio  # noqa: PLC0415

    dsn = vault.settings.database_dsn
    for name, value in {"DATABASE_DSN": dsn, "DEPLOYMENT_SECRET": "s", "ENCRYPTION_KEY": KEY}.items():
        monkeypatch.setenv(f"LABLINK_{name}", value)
    write(dsn, "DELETE FROM lease")

    async def run() -> None:
        async with open_db(dsn, max_size=2) as db:
            lease = await take_lease(db, "test", ttl_s=600)
            assert lease is not None
            world = World(db, lease, vault.settings, Ec2(), lambda _channel, _key: None)
            await back_up_when_due(world)  # no document: nothing is wanted
            async with transaction(db) as conn:
                await append_version(conn, Change(yaml=TEXT, lab=vault.lab, author="me", source="api"), None)
            with pytest.raises(RetryLater, match=r"did not succeed: The backup did not succeed: .*NoSuchBucket"):
                await back_up_when_due(world)
            client("s3").create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
            await back_up_when_due(world)
            await back_up_when_due(world)  # not due yet

    anyio.run(run)
    bucket = find_place(vault.lab, "")
    (name,) = bucket.names()
    assert read(dsn, f"SELECT split_part(message, ':', 1) FROM event WHERE reason = '{DONE}'") == [(name,)]
    there = Vault(vault.settings, vault.lab, bucket, vault.cipher)
    assert verify_backup(there, name)["rows"]["vm"] == 2
    bucket.remove(name)
    assert bucket.names() == []


def test_names_that_aws_knows_are_never_used_again(vault: Vault, aws: str) -> None:
    tags = {"lablink:deployment": "lablink", "lablink:environment": "dev", "lablink:pool": "client"}
    for number in (9, 31):
        named = {**tags, "lablink:hostname": f"lablink-client-dev-{number}"}
        client("ec2").run_instances(
            ImageId="ami-0601752c11b394251", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in named.items()]}],
        )  # fmt: skip
    assert find_highest(list_named(vault.lab)) == {"client": 31}


def test_the_drill_rehearses_it_all_and_touches_nothing(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = vault.settings.database_dsn
    for name, value in {"DATABASE_DSN": dsn, "DEPLOYMENT_SECRET": "s", "ENCRYPTION_KEY": KEY}.items():
        monkeypatch.setenv(f"LABLINK_{name}", value)
    path = tmp_path / "lablink.yaml"
    path.write_text(TEXT)
    before = json.dumps(read(dsn, "SELECT state FROM seat ORDER BY hostname"))
    drill(to=str(tmp_path / "drilled"), file=path)
    assert "The drill succeeded" in capsys.readouterr().out
    assert json.dumps(read(dsn, "SELECT state FROM seat ORDER BY hostname")) == before
    assert databases(dsn) == []
    assert timedelta(hours=6) == vault.lab.backup.every


def test_programs_of_postgresql_are_told_where_the_database_is_and_nothing_else(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record_program(tmp_path / name, backup_database.find_tool(name)) for name in ("pg_dump", "pg_restore")]
    monkeypatch.setattr(backup_database, "find_tool", lambda name: str(tmp_path / name))
    for name in ("LABLINK_DEPLOYMENT_SECRET", "LABLINK_ENCRYPTION_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret-word")
    dsn = make_conninfo(vault.settings.database_dsn, password="drawn for this test")
    told = replace(vault, settings=vault.settings.model_copy(update={"database_dsn": dsn}))
    name, _ = make_backup(told)
    verify_backup(told, name)
    may_know = {"PATH", "HOME", "LC_ALL", "LC_CTYPE", "LD_PRELOAD", *backup_database.VARIABLES.values()}
    for record in records:
        for one in read_record(record):
            assert one["environment"]["PGPASSWORD"] == "drawn for this test"
            assert "drawn for this test" not in str(one["arguments"])
            assert one["environment"].keys() <= may_know
            assert "secret-word" not in str(one)
