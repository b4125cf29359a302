"""The sandbox's data folder: held by one sandbox at a time; keys that are drawn once, logs, and `sandbox.json` while it runs.

Used by `sandbox.up` alone. Files with secrets have mode 0600.
"""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

from lablink.errors import Failed

HASH_ROUNDS = 8  # the password is drawn, 79 bits: nobody guesses it
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def admin_password(self) -> str:
        return (self.keys / "admin_password").read_text().strip()

    @property
    def admin_password_hash(self) -> str:
        """Drawn with the password: hashing takes a while, and gives another text each time."""
        return (self.keys / "admin_password_hash").read_text().strip()

    @property
    def log_token(self) -> str:
        return (self.keys / "log_token").read_text().strip()

    def log(self, name: str) -> Path:
        """The log file of a program; what an earlier start wrote is kept once as `.1`."""
        return self.path / "logs" / f"{name}.log"

    def read_port(self) -> int | None:
        """The port of the last start: VMs that were made then know it."""
        with suppress(OSError, ValueError):
            return int((self.path / "port").read_text())
        return None

    def write_port(self, port: int) -> None:
        (self.path / "port").write_text(f"{port}\n")

    def write_address(self, content: dict[str, Any]) -> None:
        """`sandbox.json`: where everything is, for tools. Replaced whole."""
        write_private(self.path / "sandbox.json", json.dumps(content, indent=2) + "\n")

    def remove_address(self) -> None:
        (self.path / "sandbox.json").unlink(missing_ok=True)


@contextmanager
def hold_folder(path: Path) -> Iterator[Folder]:
    """The folder, made and filled when it is new, and this process's alone until the end. Raises `Failed`."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (path / "lock").open("a+") as lock:
            _take(lock.fileno(), path)
            folder = Folder(path)
            folder.remove_address()
            _make_keys(folder)
            _rotate_logs(path / "logs")
            yield folder
            folder.remove_address()
    except OSError as error:
        raise Failed(f"The data folder {path} cannot be used ({error}): name another one with --data.") from error


def write_private(path: Path, text: str) -> None:
    """Readable by its owner only, and never half-written."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _take(descriptor: int, path: Path) -> None:
    """The lock falls with the process, however it ends; the number in the file is for people."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode().strip()
        raise Failed(
            f"The data folder {path} is in use by another sandbox (process {holder}): "
            "stop that one with Ctrl-C, or give this one another folder with --data."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _make_keys(folder: Folder) -> None:
    """Drawn once: other keys would make the stored states and the VMs' tokens worthless."""
    folder.keys.mkdir(exist_ok=True, mode=0o700)
    drawn = {
        "deployment_secret": secrets.token_hex(32),
        "encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "log_token": secrets.token_urlsafe(32),
        "admin_password": "-".join("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(4)),
    }
    for name, text in drawn.items():
        if not (folder.keys / name).exists():
            write_private(folder.keys / name, text + "\n")
    if not (folder.keys / "admin_password_hash").exists():
        password_hash = bcrypt.hashpw(folder.admin_password.encode(), bcrypt.gensalt(rounds=HASH_ROUNDS))
        write_private(folder.keys / "admin_password_hash", password_hash.decode() + "\n")


def _rotate_logs(logs: Path) -> None:
    logs.mkdir(exist_ok=True, mode=0o700)
    for path in logs.glob("*.log"):
        path.replace(path.with_name(path.name + ".1"))
