"""What the processes of a test were told: by arguments, which everybody on a machine can read, and by their environment."""

import json
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

LOOK_S = 0.05
RECORDER = """#!{python}
import json, os, sys
with open({seen!r}, "a") as file:
    file.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


def record_program(script: Path, real: str) -> Path:
    """Puts a program there that writes down what it is told, and is the real one then; where that is read."""
    seen = script.with_name(f"{script.name}.seen")
    script.write_text(RECORDER.format(python=sys.executable, seen=str(seen), real=real))
    script.chmod(0o700)
    return seen


def read_record(seen: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seen.read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class Told:
    """One process between two `exec`."""

    arguments: bytes
    environment: bytes


class Watch:
    """Looks at a process and all that descend from it, again and again, until the end of its `with`."""

    def __init__(self, pid: int) -> None:
        self.told: set[Told] = set()
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def find(self, part: bytes) -> list[Told]:
        """Those whose arguments hold this."""
        return [told for told in self.told if part in told.arguments]

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            self.told.update(filter(None, map(read_told, find_descendants(self._pid))))


def find_descendants(pid: int) -> list[int]:
    found, to_ask = [], [pid]
    while to_ask:
        found.append(asked := to_ask.pop())
        with suppress(OSError):
            for children in Path(f"/proc/{asked}/task").glob("*/children"):
                to_ask += map(int, children.read_text().split())
    return found


def read_told(pid: int) -> Told | None:
    """None for a process that has ended, or becomes another program just now."""
    with suppress(OSError):
        arguments, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        if arguments and arguments == Path(f"/proc/{pid}/cmdline").read_bytes():
            return Told(arguments.replace(b"\0", b" "), environment)
    return None
