"""`lablink backup`, `restore`, `drill`: the record and Terraform's states, sealed, to a folder or to S3, and back.

Every backup is restored into a scratch database and counted before it counts as one.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from botocore.exceptions import BotoCoreError, ClientError

from lablink.backup_database import check_rows, load_dump, of_database, open_dump, put_in_place
from lablink.backup_file import BackupWriter, read_backup
from lablink.backup_place import SUFFIX, BucketPlace, FolderPlace, Place
from lablink.desired import DEFAULT_FILE, read_document
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.host import reach_postgres
from lablink.named_instances import find_highest, list_named
from lablink.output import print_json, print_line, working
from lablink.programs import read_settings
from sandbox.postgres import drop_database
from schemas.lab import Lab
from schemas.release import VERSION
from schemas.settings import Settings
from store.restored import mend_restored
from store.secret import Cipher, SecretError

MANIFEST, DATABASE, STATES = "manifest.json", "database", "states/"
STATE = "terraform.tfstate"
To = Annotated[str, typer.Option(help="A folder, or s3://BUCKET/PREFIX [default: backup.bucket of the document].")]
File = Annotated[Path, typer.Option(help="The document, for bucket, number of backups and names.")]


@dataclass(frozen=True, slots=True)
class Vault:
    """What a backup needs to know."""

    settings: Settings
    lab: Lab
    place: Place
    cipher: Cipher


def open_vault(file: Path, to: str) -> Vault:
    settings = read_settings()
    lab = read_document(file).lab
    try:
        cipher = Cipher.of(settings)
    except SecretError as error:
        raise Failed(f"No backup without a key: {error}.") from None
    return Vault(settings, lab, find_place(lab, to), cipher)


def find_place(lab: Lab, to: str) -> Place:
    """`to`, else the document's bucket."""
    prefix = f"{lab.deployment}/{lab.environment}/backups"
    if to.startswith("s3://"):
        bucket, _, given = to.removeprefix("s3://").partition("/")
        return BucketPlace(bucket, given.strip("/") or prefix, lab.region)
    if to:
        return FolderPlace(Path(to).absolute())
    if lab.backup.bucket:
        return BucketPlace(lab.backup.bucket, prefix, lab.region)
    raise Failed("There is no place for backups: set backup.bucket in the document, or name one with --to.")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, ClientError, BotoCoreError, OSError) as error:
        sentence = " ".join(str(error).split())
        raise Failed(f"{what} did not succeed: {sentence}") from None


def backup(to: To = "", file: File = DEFAULT_FILE, as_json: Json = False) -> None:
    """Back the record and Terraform's states up, sealed; verify it; remove what is too much.

    LabLink goes on meanwhile. How many are kept: backup.keep of the document.
    """
    vault = open_vault(file, to)
    with _explained("The backup"), working("dumping and sealing the record") as tell:
        name, manifest = make_backup(vault)
        tell("restoring it into a scratch database, and counting")
        verify_backup(vault, name)
        tell("removing what is too much")
        removed = prune_backups(vault)
    if as_json:
        print_json({"name": name, "rows": sum(manifest["rows"].values()), "removed": removed})
    else:
        print_line(
            f"{name}: {sum(manifest['rows'].values())} rows, restored and counted; removed {len(removed)}.", "green"
        )


def make_backup(vault: Vault) -> tuple[str, dict[str, Any]]:
    """Name and manifest of a new backup."""
    now = datetime.now(UTC)
    name = f"{vault.lab.deployment}-{vault.lab.environment}-{now:%Y%m%dT%H%M%S%f}Z{SUFFIX}"
    with vault.place.writing(name) as target, open_dump(vault.settings.database_dsn) as (rows, chunks):
        manifest = {"version": VERSION, "at": now.isoformat(), "rows": rows}
        writer = BackupWriter(target, vault.cipher)
        writer.begin(MANIFEST)
        writer.write(json.dumps(manifest).encode())
        for path, content in _read_local_states(vault.settings.work_dir):
            writer.begin(f"{STATES}{path}")
            writer.write(content)
        writer.begin(DATABASE)
        for chunk in chunks:
            writer.write(chunk)
        writer.end()
    return name, manifest


def _read_local_states(work_dir: Path) -> Iterator[tuple[str, bytes]]:
    """States of the backend `local`; those of `database` are in the dump, those of `s3` have versions of their own."""
    root = work_dir / "states" / "local"
    for path in sorted(root.rglob(STATE)):
        yield str(path.relative_to(root)), path.read_bytes()


def verify_backup(vault: Vault, name: str) -> dict[str, Any]:
    """Restore into a scratch database, count, drop it again; the manifest. Raises `Failed`."""
    scratch = f"lablink_verify_{secrets.token_hex(4)}"
    made, manifest = _load_backup(vault, name, scratch, None)
    try:
        check_rows(made, manifest["rows"])
    finally:
        drop_database(vault.settings.database_dsn, scratch)
    return manifest


def _load_backup(vault: Vault, name: str, database: str, states: Path | None) -> tuple[str, dict[str, Any]]:
    """The backup in a new database; local states under `states`. Their DSN and the manifest."""
    manifest = bytearray()
    with vault.place.reading(name) as source:
        parts = read_backup(source, vault.cipher)
        for part, chunk in parts:
            if part == DATABASE:
                break
            if part == MANIFEST:
                manifest += chunk
            elif states is not None:
                _append(_place(states, part), chunk)
        else:
            raise Failed(f"{name} holds no database: take another one.")
        made = load_dump(vault.settings.database_dsn, database, (chunk for _, chunk in parts))
    return made, json.loads(manifest)


def _place(states: Path, part: str) -> Path:
    """Where a local state goes: below `states`, whatever the backup says."""
    path = (states / part.removeprefix(STATES)).resolve()
    if not part.startswith(STATES) or path.name != STATE or not path.is_relative_to(states.resolve()):
        raise Failed(f"This backup holds {part!r}, which is no place for a state of Terraform: take another one.")
    return path


def _append(path: Path, chunk: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if chunk else os.O_TRUNC), 0o600), "ab"
    ) as file:
        file.write(chunk)


def prune_backups(vault: Vault) -> list[str]:
    """Names of the removed: all but the newest `backup.keep`."""
    start = f"{vault.lab.deployment}-{vault.lab.environment}-"
    mine = [name for name in vault.place.names() if name.startswith(start)]
    surplus = mine[: max(0, len(mine) - vault.lab.backup.keep)]
    for name in surplus:
        vault.place.remove(name)
    return surplus


def restore(
    name: Annotated[str, typer.Argument(help="Name of the backup, or `latest`.")] = "latest",
    to: To = "",
    file: File = DEFAULT_FILE,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask AWS for the names in use; only where it cannot be reached.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a backup in the place of the record, while LabLink is stopped. The present database is kept under another name.

    Afterwards no VM is given to anybody before it has called; VMs made since are adopted, none in use is touched.
    """
    with reach_postgres(), _explained("The restore"):
        vault = open_vault(file, to)
        chosen = choose_backup(vault, name)
        if not yes and not typer.confirm(f"Put {chosen} in the place of the present record?", err=True):
            raise Failed("Nothing was changed.")
        with working("asking AWS for the names in use") as tell:
            highest = {} if offline else find_highest(list_named(vault.lab))
            tell(f"restoring {chosen} beside the present record, and counting")
            aside = restore_backup(vault, chosen, highest)
    kept = f" The former record is the database {aside}." if aside else ""
    print_line(
        f"{chosen} is in place.{kept} Start LabLink, then look at `lablink status` and `lablink preview`.", "green"
    )


def choose_backup(vault: Vault, name: str) -> str:
    names = vault.place.names()
    if name == "latest" and names:
        return names[-1]
    if name in names:
        return name
    raise Failed(f"There is no backup {name} ({len(names)} are there; the newest: {names[-1] if names else 'none'}).")


def restore_backup(vault: Vault, name: str, highest: dict[str, int]) -> str | None:
    """The name under which the former database is kept, None when there was none."""
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(2)}"
    fresh, aside = f"lablink_restored_{stamp}", f"lablink_before_{stamp}"
    dsn = vault.settings.database_dsn
    made, manifest = _load_backup(vault, name, fresh, vault.settings.work_dir / "states" / "local")
    try:
        check_rows(made, manifest["rows"])
        mend_restored(of_database(dsn, fresh), name, highest)
        return aside if put_in_place(dsn, fresh, aside) else None
    except BaseException:
        drop_database(dsn, fresh)
        raise


def drill(to: To = "", file: File = DEFAULT_FILE) -> None:
    """Rehearse the loss of the record: back up, read the backup back, restore it beside the running one, and compare."""
    vault = open_vault(file, to)
    with _explained("The drill"):
        with working("dumping and sealing the record"):
            name, _ = make_backup(vault)
        print_line(f"1. Backed up: {name}.")
        with working("restoring it into a scratch database, and counting"):
            rows = verify_backup(vault, name)["rows"]
        print_line(f"2. Restored into a scratch database: {len(rows)} tables, {sum(rows.values())} rows.")
        with working("restoring it once more, and making it ready to meet the world"):
            _rehearse(vault, name)
        print_line("3. Made ready to meet the world: seats closed, names and fencing tokens jumped, open runs ended.")
    print_line("The drill succeeded. The running record was not touched.", "green")


def _rehearse(vault: Vault, name: str) -> None:
    scratch = f"lablink_drill_{secrets.token_hex(4)}"
    made, _ = _load_backup(vault, name, scratch, None)
    try:
        mend_restored(made, name, {})
    finally:
        drop_database(vault.settings.database_dsn, scratch)
