"""Keys that an admin sets reach boto3 and Terraform of a running controller at once, and lie nowhere."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import anyio
import psycopg
from psycopg.rows import dict_row

from schemas.credentials import AwsKeys, Credentials
from store.credentials import forget_credentials, put_credentials
from store.secret import Cipher, read_key
from tests.processes import read_record, record_program
from tests.system.lab import Lab, open_lab

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session+token/of=the+test"
KEYS = AwsKeys(access_key_id="AKIAEXAMPLEEXAMPLE01", secret_access_key=SECRET, session_token=TOKEN)


def record_terraform(lab: Lab) -> Path:
    """A terraform that writes down what it was told, and is the real one then."""
    script = lab.folder / "terraform"
    lab.environment["LABLINK_TERRAFORM"] = str(script)
    return record_program(script, shutil.which("terraform") or "")


async def change_keys(lab: Lab, keys: AwsKeys | None) -> None:
    """As the API does."""
    cipher = Cipher(read_key(lab.environment["LABLINK_ENCRYPTION_KEY"]))
    async with await psycopg.AsyncConnection.connect(lab.dsn, autocommit=True, row_factory=dict_row) as conn:
        if keys is None:
            await forget_credentials(conn)
            return
        found = Credentials(keys=keys, account_id="123456789012", arn="arn", set_at=datetime.now(UTC), set_by="test")
        await put_credentials(conn, cipher, found)


def newest(seen: Path) -> list[str]:
    told = read_record(seen)[-1]["environment"]
    return [told.get(f"AWS_{name}", "-") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE")]


def test_keys_that_were_set_work_at_once_where_the_old_ones_are_refused(dsn: str, tmp_path: Path) -> None:
    with open_lab(dsn, tmp_path) as lab:
        seen = record_terraform(lab)
        lab.environment["LABLINK_LISTING_S"] = "60"  # a notification, not the timer, is what makes it quick
        lab.declare(1)
        lab.start_controller()
        lab.wait_for_size(1)
        assert newest(seen) == ["test", "test", "-", "-"]
        of_ours = {"access-key": "test", "Filter.Name": "tag:lablink:deployment-id"}  # the stand-in keeps its own keys
        lab.fault({"on": "DescribeInstances", "error": "AuthFailure", "where": of_ours})
        anyio.run(change_keys, lab, KEYS)
        lab.declare(2)
        lab.wait_for_size(2)
        assert newest(seen) == [KEYS.access_key_id, SECRET, TOKEN, "-"]
        lab.end_faults()
        anyio.run(change_keys, lab, None)
        lab.declare(1)
        lab.wait_for_size(1)
        assert newest(seen) == ["test", "test", "-", "-"]
        lab.stop_controllers()
        assert_nowhere(lab, seen)


def assert_nowhere(lab: Lab, told: Path) -> None:
    """Neither in files nor in arguments nor in the record; Terraform knows nothing of what is ours."""
    texts = [
        path.read_bytes()
        for path in lab.folder.rglob("*")
        if path.is_file() and path != told and "aws" not in path.parts
    ]
    rows = [str(lab.rows(f"SELECT t::text FROM {table} t")) for table in ("run", "event", "secret", "tf_state", "tick")]
    for secret in (SECRET, TOKEN):
        assert not any(secret.encode() in text for text in texts)
        assert not any(secret in row for row in rows)
    ours = [lab.environment[f"LABLINK_{name}"] for name in ("DEPLOYMENT_SECRET", "ENCRYPTION_KEY", "DATABASE_DSN")]
    for record in read_record(told):
        assert record["arguments"]
        assert not any(secret in str(record["arguments"]) for secret in (SECRET, TOKEN))
        assert not any(secret in str(record) for secret in ours)
        assert not any(name.startswith(("LABLINK_", "PG")) for name in record["environment"])
