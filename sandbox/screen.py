"""What a person sees of `lablink up`: how the parts start, where to go then, and the pools as their VMs boot.

A terminal gets a live picture; everything else gets a line when something changed. Used by `sandbox.up` alone.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lablink.display import is_settled, news_lines, render_status


@dataclass(frozen=True, slots=True)
class Welcome:
    """What is told once the sandbox answers. `password` is None where lablink.yaml names its own admin."""

    url: str
    user: str
    password: str | None
    file: Path
    data: Path

    @property
    def login(self) -> str:
        return f"{self.user} / {self.password or 'the password of lablink.yaml'}"


class Screen(Protocol):
    def say(self, sentence: str) -> None:
        """One line that stays."""

    def show(self, status: dict[str, Any]) -> None:
        """The newest answer of `GET /api/v1/status`."""

    def show_trouble(self, sentence: str) -> None:
        """Why there is no newer status."""

    def welcome(self, welcome: Welcome) -> None:
        """Everything answers now."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """A context in which a part starts."""

    def stopping(self) -> None:
        """From here on only lines, which `say` still takes. Said once, however often called."""


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The screen that fits standard output; at the end the terminal is as it was."""
    screen = TerminalScreen() if sys.stdout.isatty() else PlainScreen()
    try:
        yield screen
    finally:
        screen.stopping()


class PlainScreen:
    """Lines for logs and scripts: what changed, when it changed."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._before: dict[str, Any] | None = None
        self._trouble = ""
        self._settled = False
        self._stopping = False

    def say(self, sentence: str) -> None:
        with suppress(OSError):  # who read along may have gone first, as `tee` does at Ctrl-C
            print(sentence, flush=True)

    def show(self, status: dict[str, Any]) -> None:
        for line in news_lines(status, self._before):
            self.say(line)
        self._before, self._trouble = status, ""
        if is_settled(status) and not self._settled:
            self._settled = True
            self.say(f"Every pool is as declared, {time.monotonic() - self._began_at:.0f} s after the start.")

    def show_trouble(self, sentence: str) -> None:
        if sentence != self._trouble:
            self.say(sentence)
        self._trouble = sentence

    def welcome(self, welcome: Welcome) -> None:
        self.say(f"LabLink runs at {welcome.url} (admin login: {welcome.login}, used by the commands without asking)")
        self.say(f"Edit {welcome.file} and the world follows. Ctrl-C stops all of it; the data stay in {welcome.data}.")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began_at = time.monotonic()
        yield
        self.say(f"{name} is up ({time.monotonic() - began_at:.1f} s)")

    def stopping(self) -> None:
        if not self._stopping:
            self._stopping = True
            self.say("Stopping …")


@dataclass
class _Step:
    name: str
    spinner: Spinner
    took: str = ""

    def render(self) -> RenderableType:
        return Text(f"✓ {self.name} {self.took}", style="green") if self.took else self.spinner


class TerminalScreen:
    """A picture at the foot of the terminal, redrawn in place; sentences scroll above it."""

    def __init__(self) -> None:
        self._console = Console()
        self._began_at = time.monotonic()
        self._steps: list[_Step] = []
        self._status: RenderableType | None = None
        self._trouble = ""
        self._settled_after_s: float | None = None
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def say(self, sentence: str) -> None:
        self._console.print(Text(sentence))

    def show(self, status: dict[str, Any]) -> None:
        self._status, self._trouble = render_status(status), ""
        if is_settled(status) and self._settled_after_s is None:
            self._settled_after_s = time.monotonic() - self._began_at

    def show_trouble(self, sentence: str) -> None:
        self._trouble = sentence

    def welcome(self, welcome: Welcome) -> None:
        places = Table.grid(padding=(0, 2))
        admin = Text.assemble((welcome.login, "bold"), "  for /api/v1; the commands below know it")
        places.add_row("  Request a VM", Text(welcome.url, style="bold cyan"))
        places.add_row("  Admin", admin)
        places.add_row("  Declare", Text.assemble((_short(welcome.file), "bold"), "  edit it, and the world follows"))
        places.add_row("  Ask", Text("lablink status · vms · why client · scale client 8", style="bold"))
        self._console.print(Group(Text("\nLabLink is running.", style="bold green"), places, Text("")))
        self._steps = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began_at = time.monotonic()
        step = _Step(name, Spinner("dots", Text(name)))
        self._steps.append(step)
        yield
        step.took = f"{time.monotonic() - began_at:.1f} s"

    def stopping(self) -> None:
        if self._live.is_started:
            self._live.stop()
            self.say("Stopping …")

    def _render(self) -> RenderableType:
        parts = [step.render() for step in self._steps]
        if self._status is not None:
            parts.append(self._status)
        if self._trouble:
            parts.append(Text(self._trouble, style="yellow"))
        if self._status is not None:
            parts.append(Text(f"\n{self._footer()}", style="bright_black"))
        return Group(*parts)

    def _footer(self) -> str:
        after = (
            f"Every pool was as declared {self._settled_after_s:.0f} s after the start. "
            if self._settled_after_s
            else ""
        )
        return f"{after}Ctrl-C stops all of it; the data stay."


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
