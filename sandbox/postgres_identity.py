"""Who runs PostgreSQL, which refuses root: ourselves, ourselves in a user namespace, or another user; and under a guard.

`sandbox.postgres` asks. It runs `postgres --version` to see what this kernel and this machine allow, and changes nothing.
"""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox import tether
from sandbox.postgres_binaries import PostgresError


def choose_identity(binaries: Path) -> str:
    """The identity for new data, as `sandbox.tether` takes it (`same`, `namespace`, `UID:GID`)."""
    if os.geteuid() != 0:
        return tether.SAME
    others = [f"{user.pw_uid}:{user.pw_gid}" for user in map(_read_user, ("postgres", "nobody")) if user]
    for identity in (tether.NAMESPACE, *others):
        if _can_run(identity, binaries):
            return identity
    raise PostgresError(
        "PostgreSQL does not run as root, the kernel refuses user namespaces, and neither 'postgres' nor 'nobody' can "
        f"read {binaries}: start LabLink as another user."
    )


def read_identity(folder: Path, binaries: Path) -> str:
    """Data that root made in a namespace belong to root; data of another user need that user."""
    owner = folder.stat()
    if os.geteuid() != 0:
        return tether.SAME
    identity = f"{owner.st_uid}:{owner.st_gid}" if owner.st_uid else tether.NAMESPACE
    if not _can_run(identity, binaries):
        raise PostgresError(f"PostgreSQL cannot be run as the owner of {folder} (user {owner.st_uid}) on this machine.")
    return identity


def render_guarded(
    identity: str, command: Sequence[Path | str], polite: int = signal.SIGTERM, remove: Path | None = None
) -> list[str]:
    """The command line that runs `command` under a guard (`sandbox.tether`), for the life of this process."""
    guard = [sys.executable, "-I", "-S", tether.__file__, "--parent", str(os.getpid()), "--identity", identity]
    guard += ["--signal", str(int(polite))]
    if remove is not None:
        guard += ["--remove", str(remove)]
    return [*guard, "--", *(str(part) for part in command)]


def _can_run(identity: str, binaries: Path) -> bool:
    attempt = subprocess.run(
        render_guarded(identity, [binaries / "postgres", "--version"]), capture_output=True, check=False, cwd="/"
    )
    return attempt.returncode == 0


def _read_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
