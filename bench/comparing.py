"""Two runs beside each other: what became slower by more than measurements of one thing differ among themselves.

The other run is a file that `--json` wrote on this machine, or a commit, which is measured first, in the same session.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

NOISE = 0.10
ROOT = Path(__file__).resolve().parents[1]

Run = dict[str, Any]


class ComparisonError(Exception):
    """There is nothing to compare with; the message is one sentence for a person."""


@dataclass(frozen=True)
class Change:
    """A row of both runs. `noise`: by which share the two may differ without anything having changed."""

    name: str
    unit: str
    before: float
    after: float
    noise: float

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else float(self.after > 0) + 1.0

    @property
    def verdict(self) -> str:
        if self.ratio > 1 + self.noise:
            return "WORSE"
        return "better" if self.ratio < 1 / (1 + self.noise) else ""


def compare(before: Run, after: Run) -> list[Change]:
    """Rows that both have, by name: what is judged of a row, so with a baseline its ratio, which a busier machine changes little."""
    known = {row["name"]: row for row in before["figures"]}
    return [_compare_row(known[row["name"]], row) for row in after["figures"] if row["name"] in known]


def _compare_row(before: Run, after: Run) -> Change:
    unit = after["unit"] if after["baseline"] is None else "×"
    noise = NOISE + before.get("spread", 0.0) + after.get("spread", 0.0)
    return Change(after["name"], unit, before["judged"], after["judged"], noise)


def read_other(other: str, groups: Sequence[str]) -> Run:
    """A run from its file, or a commit's, which is measured now by its own bench. Raises ComparisonError."""
    if Path(other).is_file():
        return dict(json.loads(Path(other).read_text()))
    with _checked_out(other) as folder:
        output = folder / "bench.json"
        subprocess.run([sys.executable, "-m", "bench", "--json", output, *groups], cwd=folder, check=False)
        if not output.exists():
            raise ComparisonError(f"the bench of {other} measured nothing: its error is above")
        return dict(json.loads(output.read_text()))


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    with TemporaryDirectory(prefix="lablink-bench-") as name:
        folder = Path(name) / "tree"
        made = _git("worktree", "add", "--detach", str(folder), commit)
        if made.returncode:
            raise ComparisonError(f"{commit} is neither a file nor a commit: {made.stderr.strip().splitlines()[-1]}")
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def render_changes(before: Run, changes: Sequence[Change]) -> Table:
    table = Table(title=f"beside commit {before['commit']}, {before['at']}, {before['machine']}")
    for heading in ("what", "before", "now", "ratio", "noise", ""):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in changes:
        values = (f"{value:,.2f} {one.unit}" for value in (one.before, one.after))
        table.add_row(one.name, *values, f"{one.ratio:.2f}", f"{one.noise:.2f}", one.verdict)
    return table
