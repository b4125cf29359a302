"""Programs that run beside this one: started, started again when they end unexpectedly, ended in order.

Used by `lablink serve` and by the sandbox. Touches processes and their log files.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import Process

from lablink import bound

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0  # who ran this long starts again with the shortest pause

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `environment` is read at each start. Without `log` it writes where this process writes."""

    name: str
    command: tuple[str, ...]  # begins with a path
    environment: Mapping[str, str]
    log: Path | None = None
    patience_s: float = 30.0  # from SIGTERM to SIGKILL
    orphan_signal: signal.Signals = signal.SIGTERM  # what it gets when this process is gone

    @property
    def bound_command(self) -> tuple[str, ...]:
        """The command, tied to the life of this process."""
        wrapper = (sys.executable, "-I", "-S", bound.__file__)
        return (*wrapper, str(os.getpid()), str(int(self.orphan_signal)), *self.command)


class Child:
    """One program, kept running from `keep` to `stop`."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program = program
        self._say = say
        self._process: Process | None = None
        self._stopping = anyio.Event()
        self._ended: anyio.Event | None = None  # there once `keep` has begun

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def keep(self) -> None:
        """Run the program until `stop`. Ends it hard when cancelled."""
        pause_s = FIRST_PAUSE_S
        ended = self._ended = anyio.Event()
        try:
            while not self._stopping.is_set():
                began_at = anyio.current_time()
                how = await self._run_once()
                if self._stopping.is_set():
                    return
                pause_s = FIRST_PAUSE_S if anyio.current_time() - began_at > HEALTHY_S else pause_s
                self._say(f"{self.program.name} {how}; it starts again in {pause_s:.0f} s")
                with anyio.move_on_after(pause_s):
                    await self._stopping.wait()
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            ended.set()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the program's patience; returns when it is gone."""
        self._stopping.set()
        if self._ended is None:
            return
        self._signal(signal.SIGTERM)
        with anyio.move_on_after(self.program.patience_s):
            await self._ended.wait()
            return
        self.kill()
        await self._ended.wait()

    def restart(self) -> None:
        """Ask the running program to end; `keep` starts it again with its environment as it is now."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run_once(self) -> str:
        """How it ended, or why it could not be started."""
        try:
            await self._open()
        except OSError as error:
            return f"could not be started ({error})"
        assert self._process is not None
        if self._stopping.is_set():  # `stop` came while it was being started
            self._signal(signal.SIGTERM)
        try:
            return self._describe_end(await self._process.wait())
        finally:
            self.kill()

    async def _open(self) -> None:
        output = _open_log(self.program.log)
        try:
            # A session of its own: Ctrl-C in the terminal reaches the parent alone, which ends its children in order.
            self._process = await anyio.open_process(
                self.program.bound_command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.program.environment,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()

    def _describe_end(self, code: int) -> str:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{how}; its last words: {words}" if (words := _last_line(self.program.log)) else how


def _open_log(path: Path | None) -> IO[bytes] | None:
    if path is None:
        return None
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _last_line(path: Path | None) -> str:
    if path is None:
        return ""
    with suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 2000))
        lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
    return ""
