"""The log of a program: JSON or text, what a task bound, and no secret, whichever way it came into a line."""

import json
import os
import subprocess
import sys

import pytest

SECRET = "a-deployment-secret-of-32-letters"
PROGRAM = """
import logging

import structlog
from store.log import redact, set_up_log
from schemas.settings import Settings

set_up_log()
redact.learn(Settings(_env_file=None))
with structlog.contextvars.bound_contextvars(turn=7, handler="observe"):
    structlog.get_logger().warning("said", text={text!r}, inner={{"list": [{text!r}]}}, number=3)
try:
    raise ValueError({text!r})
except ValueError:
    structlog.get_logger().exception("failed")
with structlog.contextvars.bound_contextvars(request=8):
    logging.getLogger("botocore.auth").warning("a library says %s", {text!r})
try:
    raise ValueError({text!r})
except ValueError:
    logging.getLogger("asyncio").exception("a library failed")
"""


def lines_of(text: str, **environment: str) -> list[str]:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("LABLINK_")}
    told = {
        "LABLINK_DATABASE_DSN": "postgres://lab:of-the-database@db/lab",
        "LABLINK_DEPLOYMENT_SECRET": SECRET,
        "LABLINK_ENCRYPTION_KEY": "k" * 44,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(text=text)],
        env=alone | told | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


def test_json_has_a_line_for_each_and_what_the_task_bound() -> None:
    said, failed, *theirs = map(json.loads, lines_of("nothing secret", LABLINK_LOG="json"))
    assert {"turn": 7, "handler": "observe", "level": "warning", "event": "said", "number": 3}.items() <= said.items()
    assert said["inner"] == {"list": ["nothing secret"]}
    assert failed["event"] == "failed"
    assert "ValueError: nothing secret" in failed["exception"]
    said, failed = theirs
    expected = {"event": "a library says nothing secret", "level": "warning", "logger": "botocore.auth", "request": 8}
    assert expected.items() <= said.items()
    assert said["timestamp"].endswith("Z")
    assert (failed["event"], failed["level"]) == ("a library failed", "error")
    assert "ValueError: nothing secret" in failed["exception"]


def test_text_is_read_by_people() -> None:
    said = lines_of("nothing secret")[0]
    assert said.startswith("timestamp=")
    assert "event='said'" in said
    assert "turn=7" in said


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"signed with {SECRET}.", SECRET),
        ("cannot reach postgres://lab:of-the-database@db/lab", "of-the-database"),
        ("host=db password='two words' user=lab", "two words"),
        ("host=db password=oneword user=lab", "oneword"),
        ('start-host --code="4/0AbCdEf" --redirect-url="x"', "4/0AbCdEf"),
        ("Authorization: Bearer llt_0123456789abcdef", "llt_0123456789abcdef"),
        ("hash $2b$12$" + "a" * 53, "$2b$12$"),
    ],
)
def test_no_secret_gets_through(text: str, secret: str, form: str) -> None:
    lines = "\n".join(lines_of(text, LABLINK_LOG=form))
    assert "said" in lines
    assert "failed" in lines
    assert "a library says" in lines
    assert secret not in lines
