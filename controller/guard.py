"""Owns one Terraform: ends it when the controller is gone, or when its time is up and was not extended.

Run by `controller.terraform` as `python -I -S guard.py UNTIL LIMIT_S GRACE_S COMMAND…` in a session of its own, so that no
signal meant for the controller reaches Terraform. The standard library only; touches nothing but its child.

Standard input carries lines: an instant of the monotonic clock until which Terraform may go on, or `stop`. The end of input
means that the controller died. Either way Terraform gets SIGINT (it then saves its state), and after GRACE_S the whole
process group gets SIGKILL. LIMIT_S is the longest that it may run at all.
"""

import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable

INTERRUPTED = 75
"""Exit code (EX_TEMPFAIL) when Terraform was asked to stop, however it then ended."""
OUT_OF_TIME = 76
"""Exit code when it was asked to stop because LIMIT_S had passed."""
NOT_STARTED = 127

PR_SET_PDEATHSIG = 1
MOST_BUFFERED = 16 << 20
CHUNK = 1 << 16


class Relay:
    """Copies one of Terraform's streams to the controller and never blocks: what nobody reads is kept, then dropped.

    Terraform may not write to the controller's pipe itself: Go ends a process by SIGPIPE, state unsaved, when its reader is gone.
    """

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.buffer = bytearray()
        self.open, self.heard = True, True  # Terraform still writes; the controller still reads
        os.set_blocking(target, False)

    def read(self) -> None:
        chunk = os.read(self.source, CHUNK)
        if not chunk:
            self.open = False
        elif self.heard and len(self.buffer) < MOST_BUFFERED:
            self.buffer += chunk
            self.write()

    def write(self) -> None:
        try:
            while self.buffer:
                del self.buffer[: os.write(self.target, self.buffer[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more
            self.heard = False
            self.buffer.clear()

    @property
    def done(self) -> bool:
        return not self.open and not self.buffer


class Guard:
    """One Terraform from its start to its end; `run` gives its exit code."""

    def __init__(self, until: float, limit_s: float, grace_s: float, command: list[str]) -> None:
        self.until, self.grace_s = until, grace_s
        self.out_of_time_at = time.monotonic() + limit_s
        self.why: int | None = None  # exit code to give once Terraform has been asked to stop
        self.kill_at = float("inf")
        self.status: int | None = None
        self.lines = bytearray()
        self.selector = selectors.DefaultSelector()
        self.child, out, err = start(command)
        self.relays = [Relay(out, 1), Relay(err, 2)]

    def run(self) -> int:
        self._watch(0, self._hear)
        self._watch(take_signals(), self._see_signals)
        for relay in self.relays:
            self._watch(relay.source, relay.read)
        while self.status is None or not all(relay.done for relay in self.relays):
            self._wait()
            self._keep_time()
            if self.status is not None and time.monotonic() > self.kill_at:
                break  # the controller is there but reads nothing
        return self._exit_code()

    def _watch(self, fd: int, act: Callable[[], None]) -> None:
        self.selector.register(fd, selectors.EVENT_READ, act)

    def _wait(self) -> None:
        due = min(self.until, self.out_of_time_at) if self.why is None else self.kill_at
        pause_s = min(max(0.0, due - time.monotonic()), 1.0)
        if any(relay.buffer for relay in self.relays):
            pause_s = min(pause_s, 0.05)
        for key, _ in self.selector.select(pause_s):
            key.data()
        for relay in self.relays:
            relay.write()
            if not relay.open and relay.source in self.selector.get_map():
                self.selector.unregister(relay.source)

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self.status is None and now > self.out_of_time_at:
            self._interrupt(OUT_OF_TIME)
        elif self.status is None and now > self.until:
            self._interrupt(INTERRUPTED)
        if self.status is None and now > self.kill_at:
            os.killpg(self.child, signal.SIGKILL)
            self.kill_at = now + self.grace_s

    def _interrupt(self, why: int) -> None:
        """SIGINT once only: a second one makes Terraform exit without saving its state."""
        if self.why is None and self.status is None:
            self.why = why
            self.kill_at = time.monotonic() + self.grace_s
            os.kill(self.child, signal.SIGINT)

    def _hear(self) -> None:
        chunk = os.read(0, CHUNK)
        self.lines += chunk
        *whole, rest = self.lines.split(b"\n")
        self.lines = bytearray(rest)
        for line in whole:
            if line == b"stop":
                self._interrupt(INTERRUPTED)
            else:
                self.until = float(line)
        if not chunk:
            self.selector.unregister(0)
            self._interrupt(INTERRUPTED)

    def _see_signals(self) -> None:
        for number in os.read(WAKE_READ, CHUNK):
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._interrupt(INTERRUPTED)
        if self.status is None and os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            # Its provider goes with it, and before the wait that would let the group's number be used again.
            os.killpg(self.child, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            self.kill_at = time.monotonic() + self.grace_s

    def _exit_code(self) -> int:
        assert self.status is not None
        if self.why is not None:
            return self.why
        return self.status if self.status >= 0 else 128 - self.status


WAKE_READ, WAKE_WRITE = os.pipe()


def take_signals() -> int:
    """Makes signals readable from a descriptor, so that one `select` waits for all there is."""
    os.set_blocking(WAKE_READ, False)
    os.set_blocking(WAKE_WRITE, False)
    signal.set_wakeup_fd(WAKE_WRITE, warn_on_full_buffer=False)
    os.write(WAKE_WRITE, bytes([signal.SIGCHLD]))  # the child may have ended before anybody listened
    return WAKE_READ


def start(command: list[str]) -> tuple[int, int, int]:
    """Terraform in a process group of its own; its pid and the reading ends of its output and error streams."""
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    prctl = getattr(
        ctypes.CDLL(None), "prctl", None
    )  # Linux; elsewhere a killed guard leaves Terraform to end by itself
    guard = os.getpid()
    (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(out_write)
        os.close(err_write)
        return child, out_read, err_read
    try:
        os.setpgid(0, 0)
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(INTERRUPTED)
        os.umask(0o077)  # plans and states hold tokens
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out_write, 1), (err_write, 2)):
            os.dup2(source, target)
        os.execvp(command[0], command)  # noqa: S606 (a list, no shell)
    except OSError as error:
        os.write(2, f"{command[0]} could not be started: {error.strerror}\n".encode())
    os._exit(NOT_STARTED)


if __name__ == "__main__":
    until, limit_s, grace_s = (float(word) for word in sys.argv[1:4])
    sys.exit(Guard(until, limit_s, grace_s, sys.argv[4:]).run())
