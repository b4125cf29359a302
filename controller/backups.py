"""Backups on schedule: the leader has one made when the newest is older than the document says. Where none is wanted, nothing runs.

The work is that of `lablink backup`, as a process of its own: a dump of gigabytes is none of the controller's memory.
"""

import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import anyio
import structlog

from controller.errors import RetryLater
from controller.world import World
from store.db import fetch_one
from store.desired import read_in_force
from store.event import write_event
from store.lease import fenced

log = structlog.get_logger()

LOOK_S = 60.0
AGAIN_S = 900.0
ACTOR, SUBJECT, DONE, FAILED = "controller", "deployment", "BackedUp", "BackupFailed"

AGE = "SELECT now() - max(at) AS age FROM event WHERE subject = %s AND reason = %s"


async def back_up_when_due(world: World) -> None:
    """Raises RetryLater when a backup that was due did not succeed; why is in an event."""
    async with world.db.connection() as conn:
        in_force = await read_in_force(conn)
        row = await fetch_one(conn, AGE, (SUBJECT, DONE))
    wanted = in_force.lab.backup if in_force else None
    age: timedelta | None = row["age"] if row else None
    if in_force is None or wanted is None or not wanted.bucket or (age is not None and age < wanted.every):
        return
    done = await _make_backup(in_force.yaml)
    succeeded = done.returncode == 0
    message = _describe(done) if succeeded else " ".join(done.stderr.decode(errors="replace").split())[-1000:]
    async with fenced(world.db, world.lease) as conn:
        await write_event(conn, ACTOR, SUBJECT, DONE if succeeded else FAILED, message)
    if not succeeded:
        raise RetryLater(AGAIN_S, f"the backup did not succeed: {message}")
    log.info("backed up", name=message)


async def _make_backup(document: str) -> "subprocess.CompletedProcess[bytes]":
    """The document in force goes by a file: this process may have none, and another one may be newer."""
    with tempfile.TemporaryDirectory(prefix="lablink-backup-") as folder:
        path = Path(folder) / "lablink.yaml"
        path.write_text(document, encoding="utf-8")
        command = [sys.executable, "-m", "lablink", "backup", "--file", str(path), "--json"]
        return await anyio.run_process(command, check=False)


def _describe(done: "subprocess.CompletedProcess[bytes]") -> str:
    made = json.loads(done.stdout)
    return f"{made['name']}: {made['rows']} rows, restored and counted; {len(made['removed'])} older ones removed"
