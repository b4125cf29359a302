"""A guard process: runs one program, and ends it when told to or when the process that asked for it is gone.

`sandbox.postgres` starts it by path (`python -I -S tether.py …`), so it needs the standard library only. It touches its
child and the one folder that it is told to remove. A parent-death signal alone would not do: it fires when the *thread*
that forked ends, and worker threads come and go.
"""

import argparse
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

SAME = "same"
NAMESPACE = "namespace"
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.5  # how long a dead parent can go unnoticed
_PATIENCE_S = 20.0  # from the polite signal to SIGKILL


def main(argv: list[str]) -> int:
    """Exit code: the program's own, or 0 when it was ended on request."""
    options = _parse(argv)
    wake, requested = _watch_signals()
    child = _spawn(options)
    while child.poll() is None:
        if select.select([wake], [], [], _LOOK_S)[0]:
            os.read(wake, 64)
        if requested or os.getppid() != options.parent:
            _end(child, options.signal)
            break
    if options.remove:
        shutil.rmtree(options.remove, ignore_errors=True)
    return 0 if requested else int(child.returncode)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a program that ends with its parent.")
    parser.add_argument("--parent", type=int, required=True, help="process id of the caller")
    parser.add_argument("--identity", default=SAME, help="same, namespace, or UID:GID")
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM), help="the polite way to end the program")
    parser.add_argument("--remove", help="a folder to remove at the end")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def _watch_signals() -> tuple[int, list[int]]:
    """A descriptor that becomes readable at any signal, and the list that requests to end are put in."""
    wake, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    requested: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: requested.append(received))
    signal.signal(signal.SIGCHLD, lambda _received, _frame: None)
    return wake, requested


def _spawn(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Starts the program under the asked-for identity; `preexec_fn` is safe, this process has one thread."""
    first: Callable[[], None] | None = None
    other_user: dict[str, Any] = {}
    if options.identity == NAMESPACE:
        first = _leave_root
    elif options.identity != SAME:
        uid, gid = (int(part) for part in options.identity.split(":"))
        other_user = {"user": uid, "group": gid, "extra_groups": [], "cwd": "/"}
    prepare = _tied(options.signal, first)
    return subprocess.Popen(options.command, preexec_fn=prepare, **other_user)  # noqa: PLW1509


def _tied(polite: int, first: Callable[[], None] | None = None) -> Callable[[], None]:
    """For Linux: the program gets the polite signal even when this guard itself is killed with -9."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if first is not None:
            first()
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, polite)  # after any change of identity: that clears it

    return prepare


def _leave_root() -> None:
    """Enters a user namespace where this user is 1000 (user_namespaces(7)); files stay owned by the user outside."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a user namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _end(child: subprocess.Popen[bytes], polite: int) -> None:
    child.send_signal(polite)
    try:
        child.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
