"""What the controller's program says: which settings are missing, and never the value of a variable."""

import os
import subprocess
import sys

SHOW = """
from store.log import set_up_log
import structlog

def fail(token):
    raise ValueError("it went wrong")

set_up_log()
try:
    fail("very-" + "secret")
except ValueError:
    structlog.get_logger().exception("a handler failed")
"""


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LABLINK_")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False)


def test_a_traceback_in_the_log_shows_no_values() -> None:
    done = run("-c", SHOW)
    assert "it went wrong" in done.stderr
    assert "very-secret" not in done.stderr + done.stdout


def test_a_missing_setting_is_named() -> None:
    done = run("-m", "controller", LABLINK_DEPLOYMENT_SECRET="s", LABLINK_ENCRYPTION_KEY="k")
    assert (done.returncode, done.stderr) == (1, "controller: database_dsn Field required\n")
