"""What is told to whom in the sandbox: the environment of API and controller, and `sandbox.json` for tools.

Used by `sandbox.up` alone; also sets up the sandbox's own process.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.open_files import allow_many_files
from lablink.beside import find_part
from sandbox.folder import Folder
from sandbox.options import Options
from sandbox.outside import Outside
from schemas.lab import Lab
from store.log import set_up_log

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[1]
# Everything is near and made in seconds here, so it is looked at more often than in a cloud.
QUICK = {
    "LABLINK_BUSY_LISTING_S": "2",
    "LABLINK_LISTING_S": "10",
    "LABLINK_SETTLE_S": "10",
    "LABLINK_TICK_S": "5",
    "LABLINK_TERRAFORM_GRACE_S": "20",
}


@dataclass(frozen=True, slots=True)
class Login:
    """Who may see the admin pages. `password` is None where lablink.yaml names its own admin and nobody told us."""

    user: str
    password: str | None


def choose_login(lab: Lab | None, folder: Folder) -> Login:
    if lab is not None and lab.admin is not None:
        return Login(lab.admin.user, os.environ.get("LABLINK_PASSWORD"))
    return Login("admin", folder.admin_password)


def render_environment(options: Options, folder: Folder, outside: Outside, port: int) -> dict[str, str]:
    """What API and controller are told. Of this process's LABLINK variables only the timings, for who tries others."""
    assert outside.database is not None
    mine = os.environ.items()
    kept = {name: value for name, value in mine if not name.startswith(("LABLINK_", "TF_", "AWS_", "PG"))}
    timings = {name: value for name, value in mine if name.startswith("LABLINK_") and name.endswith("_S")}
    return {
        **kept,
        **QUICK,
        **timings,
        **outside.environment(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "LABLINK_KEYS": str(folder.keys),
        "LABLINK_DATABASE_DSN": outside.database.dsn,
        "LABLINK_DESIRED_FILE": str(options.file),
        "LABLINK_WORK_DIR": str(folder.path / "work"),
        "LABLINK_MODULES_DIR": str(find_part("terraform")),
        "LABLINK_TERRAFORM": str(outside.terraform),
        "LABLINK_HOST": HOST,
        "LABLINK_PORT": str(port),
        "LABLINK_ALLOCATOR_URL": f"http://{HOST}:{port}",
        "LABLINK_NOTIFY_LOCAL": "true",
        "LABLINK_SSH_STAND_IN": f"{HOST}:9",  # simulated VMs have no SSH, and their addresses are strangers'
        "LABLINK_ADMIN_USER": "admin",
        "LABLINK_ADMIN_PASSWORD_HASH": folder.admin_password_hash,
    }


def render_address(url: str, login: Login, outside: Outside, pids: dict[str, int | None]) -> dict[str, Any]:
    """The content of `sandbox.json`."""
    assert outside.database is not None
    assert outside.aws is not None
    return {
        "url": url,
        "admin_user": login.user,
        "admin_password": login.password,
        "database_dsn": outside.database.dsn,
        "aws_endpoint_url": outside.aws.url,
        "region": outside.region,
        "fault_url": outside.aws.fault_url,
        "pids": {"sandbox": os.getpid(), "postgres": outside.database.pid, "aws": outside.aws.pid, **pids},
    }


def prepare_process(log: Path) -> None:
    """This process is the sandbox's alone: no AWS settings of the person, warnings into a file, files enough to open."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    set_up_log(log.open("a", buffering=1))
    allow_many_files()
