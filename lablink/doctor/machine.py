"""Checks of this machine: keys, disk, database, Terraform."""

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import psycopg
from botocore.exceptions import ClientError
from psycopg.conninfo import conninfo_to_dict

from lablink.doctor.account import judge_clock
from lablink.doctor.cloud import REFUSALS, code_of
from lablink.doctor.finding import Finding, Verdict, fine, mend, unknown
from lablink.doctor.patient import Patient
from lablink.host import advise
from lablink.keys import DRAWN, PREVIOUS
from sandbox.terraform_binary import OLDEST, TerraformNotFound, look_for_terraform, read_version
from store.sealed import find_lost
from store.secret import Cipher, SecretError, read_key

LITTLE_SHARE, LITTLE_BYTES = 0.05, 2 * 2**30
OLDEST_POSTGRES = 150000
LOCAL = ("localhost", "127.0.0.1", "::1")
NOW, APPLIED, PINNED = (
    "SELECT clock_timestamp()",
    "SELECT name FROM schema_migration",
    "SELECT account_id FROM deployment",
)


def check_keys(patient: Patient) -> Iterator[Finding]:
    """The deployment's two keys: in the folder of this process, else in SSM."""
    if folder := patient.environ.get("LABLINK_KEYS"):
        yield _check_folder(Path(folder))
        return
    path = f"/lablink/{patient.lab.deployment}/{patient.lab.environment}"
    ssm = patient.cloud.client("ssm", patient.lab.region)
    missing = []
    for name in DRAWN:
        try:
            ssm.get_parameter(Name=f"{path}/{name}")
        except ClientError as error:
            if code_of(error) != "ParameterNotFound":
                raise
            missing.append(name)
    if missing:
        yield fine("keys", f"SSM has no {', '.join(missing)} under {path} yet: the allocator's first start makes them")
    else:
        yield fine("keys", f"{' and '.join(DRAWN)} are in SSM under {path}")


def _check_folder(folder: Path) -> Finding:
    advice = "`lablink keys` makes what is missing; a lost encryption key: deploy/RUNBOOK.md"
    missing = [name for name in DRAWN if not (folder / name).is_file()]
    if missing:
        return mend("keys", f"{folder} has no {', '.join(missing)}", advice)
    open_ones = [name for name in DRAWN if stat.S_IMODE((folder / name).stat().st_mode) & 0o077]
    if open_ones:
        paths = " ".join(str(folder / name) for name in open_ones)
        return mend("keys", f"others may read {', '.join(open_ones)} in {folder}", f"`chmod 600 {paths}`")
    try:
        Cipher(read_key((folder / "encryption_key").read_text().strip()))
    except SecretError as error:
        return mend("keys", f"{folder}: {error}", advice)
    return fine("keys", f"{folder} holds {' and '.join(DRAWN)}, for its owner alone")


def check_disk(patient: Patient) -> Iterator[Finding]:
    named = [patient.environ.get(name) for name in ("LABLINK_POSTGRES_DIR", "LABLINK_WORK_DIR")]
    places = {_nearest(Path(place)) for place in (*named, str(patient.data)) if place}
    seen: set[int] = set()
    for place in sorted(places):
        if (device := place.stat().st_dev) not in seen:
            seen.add(device)
            yield _check_room(place)


def _nearest(path: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _check_room(place: Path) -> Finding:
    usage = shutil.disk_usage(place)
    said = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB are free at {place}"
    if usage.free < LITTLE_BYTES or usage.free < LITTLE_SHARE * usage.total:
        return mend("disk", said, "make room, keep fewer `logs.database_days`, or enlarge allocator.volume.size")
    if not os.access(place, os.W_OK):
        return mend("disk", f"{place} cannot be written", "give it to the user that runs LabLink")
    return fine("disk", said)


def check_database(patient: Patient) -> Iterator[Finding]:
    dsn = patient.environ.get("LABLINK_DATABASE_DSN")
    if not dsn:
        said = "not checked: LABLINK_DATABASE_DSN is not set, and no sandbox runs here"
        yield unknown("database", said, "on the allocator: `… exec lablink lablink doctor`, as in deploy/RUNBOOK.md")
        return
    try:
        with psycopg.connect(dsn, connect_timeout=5) as conn:
            yield from _look_into(patient, conn, dsn)
    except psycopg.Error as error:
        said = " ".join(str(error).split())[:300]
        advice = (
            f"correct LABLINK_DATABASE_DSN{hint}"
            if (hint := advise(said))
            else "start it, or correct LABLINK_DATABASE_DSN"
        )
        yield mend("database", f"PostgreSQL does not answer: {said}", advice)


def _look_into(patient: Patient, conn: "psycopg.Connection[tuple[object, ...]]", dsn: str) -> Iterator[Finding]:
    version = conn.info.server_version
    if version < OLDEST_POSTGRES:
        yield mend("database", f"PostgreSQL {version // 10000} is too old", f"use {OLDEST_POSTGRES // 10000} or newer")
    host = conn.info.host
    outside = not host.startswith("/") and host not in LOCAL
    if outside and conninfo_to_dict(dsn).get("sslmode") != "verify-full":
        advice = "add sslmode=verify-full sslrootcert=FILE to LABLINK_DATABASE_DSN"
        yield mend("database", f"whether {host} is the right server is not verified", advice)
    row = conn.execute(NOW).fetchone()
    if row and isinstance(row[0], datetime):
        yield judge_clock("the database", (datetime.now(UTC) - row[0]).total_seconds())
    known = conn.execute("SELECT to_regclass('schema_migration')").fetchone()
    if not known or known[0] is None:
        yield mend("database", "it is empty", "`lablink migrate`; `lablink serve` does it, too")
        return
    done = {str(row[0]) for row in conn.execute(APPLIED)}
    todo = [one.name for one in (files("store") / "migrations").iterdir() if one.name.endswith(".sql")]
    if missing := sorted(set(todo) - done):
        yield mend("database", f"{len(missing)} migrations are not applied ({missing[0]}…)", "`lablink migrate`")
    else:
        yield fine("database", f"PostgreSQL {version // 10000} answers, its schema is the newest")
    yield from _try_key(patient, conn)
    pinned = conn.execute(PINNED).fetchone()
    yield from _compare_account(patient, str(pinned[0]) if pinned and pinned[0] else "")


def _try_key(patient: Patient, conn: "psycopg.Connection[tuple[object, ...]]") -> Iterator[Finding]:
    """Whether the key of this process opens what the record keeps sealed."""
    if not (folder := patient.environ.get("LABLINK_KEYS")) or _check_folder(Path(folder)).verdict is not Verdict.FINE:
        return  # another check says what is wrong with it
    files = [Path(folder) / name for name in ("encryption_key", PREVIOUS)]
    cipher = Cipher(*(read_key(file.read_text().strip()) for file in files if file.is_file()))
    if lost := find_lost(conn, cipher):
        said = f"the encryption key does not open {len(lost)} things of the record ({lost[0][1]}…)"
        yield mend("database", said, "start with the key that it was made with; a lost one: deploy/RUNBOOK.md")


def _compare_account(patient: Patient, pinned: str) -> Iterator[Finding]:
    if not pinned:
        return
    try:
        ours = patient.cloud.client("sts", patient.lab.region).get_caller_identity()["Account"]
    except REFUSALS:  # the check of the credentials has said it
        return
    if ours != pinned:
        said = f"the record belongs to AWS account {pinned}, the credentials are of {ours}: everything is only observed"
        yield mend("database", said, "take credentials of that account")


def check_terraform(patient: Patient) -> Iterator[Finding]:
    wanted = ".".join(map(str, OLDEST))
    try:
        found = look_for_terraform(patient.data / "bin", environ=patient.environ)
        if found is None:
            advice = f"install Terraform or OpenTofu {wanted} or newer; `lablink up` and `lablink infra` fetch it, too"
            yield mend("Terraform", "there is none on PATH", advice)
            return
        version = ".".join(map(str, read_version(found)))
    except TerraformNotFound as error:
        yield mend("Terraform", str(error).partition(":")[0], f"install Terraform or OpenTofu {wanted} or newer")
        return
    yield fine("Terraform", f"{version} at {found}")
