"""The part of CHANGELOG.md that is about one release, for its page: `python -m lablink.changes 1.2.3`. Run by the release workflow."""

import re
import sys
from pathlib import Path

CHANGELOG = Path("CHANGELOG.md")


def find_changes(text: str, version: str) -> str:
    """What stands under `## 1.2.3`, with or without a date behind it. Raises SystemExit where there is no such part: a release says what is new."""
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, _, body = part.partition("\n")
        if heading.split()[0] == version and body.strip():
            return body.strip() + "\n"
    raise SystemExit(
        f'CHANGELOG.md has nothing under "## {version}": name what is under Unreleased so, with the date, before the tag is made'
    )


if __name__ == "__main__":
    sys.stdout.write(find_changes(CHANGELOG.read_text(), sys.argv[1]))
