"""What `docs/security.md` says of tests is true, and what CI runs of others is pinned to a commit."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_of_what_is_tried_names_tests_that_there_are() -> None:
    _, _, rest = (ROOT / "docs/security.md").read_text().partition("## What is tried")
    rows = [line.split("|")[1:-1] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for what, _, tried_in in rows:
        named = re.findall(r"`([^`]+)`", tried_in)
        assert any(name.startswith("tests/") for name in named), what
        assert [name for name in named if not (ROOT / name).exists()] == [], what


def test_every_action_of_ci_is_pinned_to_a_commit() -> None:
    workflows = [path for kind in ("*.yaml", "*.yml") for path in (ROOT / ".github").rglob(kind)]
    used = [use for path in workflows for use in re.findall(r"^[\s-]*uses:\s*(\S+)", path.read_text(), re.MULTILINE)]
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}", use)] == []
