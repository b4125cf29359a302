"""Where proofs remember what is done, and of which commit that is."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".lablink/prove"
SHOWN = (".", ":!docs", ":!*.md")
"""What is proved: a commit that changes only what people read, such as the figures themselves, takes nothing from a proof."""


def read_commit() -> str:
    """The one that changed the program or its tests last; with a + where files are not as committed."""
    commit = _ask("log", "-1", "--format=%H", "--", *SHOWN)[:12]
    return commit + ("+" if _ask("status", "--porcelain", "--untracked-files=no", "--", *SHOWN) else "")


def _ask(*question: str) -> str:
    return subprocess.run(["git", *question], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
