"""The manual as its reader types it: pages, their sections, and the commands in these. Used by the tests that follow the pages."""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

Typed = subprocess.Popen[bytes]
ROOT = Path(__file__).parents[2]
_FIRST = ("README.md", "docs/index.md")  # whose commands expect the example's five VMs
_ALL = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("d*/**/*.md")])
PAGES = list(dict.fromkeys([*_FIRST, *_ALL]))
_BLOCK = re.compile(r"```(\w*)(?: title=\"([\w.]+)\")?\n(.*?)```", re.S)
_HEADING = re.compile(r"^#+ (.+)$", re.M)


@dataclass(frozen=True)
class Block:
    """What stands between two fences: `kind` is its language, `name` that of the file that it is, `under` the heading above it."""

    kind: str
    name: str
    text: str
    under: str

    @property
    def commands(self) -> list[str]:
        return commands_of(self.text) if self.kind == "sh" else []


@cache
def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    found = list(_BLOCK.finditer(text))
    inside = [one.span() for one in found]
    headings = [one for one in _HEADING.finditer(text) if not any(a <= one.start() < b for a, b in inside)]
    return [
        Block(
            one[1], one[2] or "", one[3], under=next((h[1] for h in reversed(headings) if h.start() < one.start()), "")
        )
        for one in found
    ]


def commands_of(text: str) -> list[str]:
    """Of a block: lines that end with a backslash go on, and `<<'WORD'` takes all up to that word. Without remarks."""
    found, lines = [], iter(text.splitlines())
    for line in lines:
        taken = [re.sub(r"\s+#.*", "", line)]
        while taken[-1].rstrip().endswith("\\"):
            taken.append(next(lines))
        if here := re.search(r"<<'(\w+)'", line):
            while taken[-1] != here[1]:
                taken.append(next(lines))
        if line.strip() and not line.startswith("#"):
            found.append("\n".join(taken))
    return found


def typed(command: str, folder: Path, env: dict[str, str], output: int | IO[bytes] = subprocess.PIPE) -> Typed:
    """A command of the manual, word for word, begun in `folder`; `test_manual.py` holds what is given here against the pages."""
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def type_in(folder: Path, env: dict[str, str], script: str, stand_ins: dict[str, str]) -> None:
    """As a reader would, who says yes to what is asked; ends at the first command that fails, which fails the test.

    `stand_ins` are what a reader has in the place of the manual's examples.
    """
    for name, value in stand_ins.items():
        script = re.sub(rf"(?<![\w|]){re.escape(name)}(?!\w)", lambda _, value=value: value, script)  # type: ignore[misc]
    answers, said = folder / "answers", folder / "said"
    answers.write_text("yes\n" * 10_000)
    with answers.open() as asked, said.open("wb") as output:
        done = subprocess.run(
            ["timeout", "300", "bash", "-exc", script],
            stdin=asked,
            cwd=folder,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert done.returncode == 0, said.read_text()
