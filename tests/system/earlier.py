"""The release before this one, taken out of the repository's history, for tests that go from it to what is here."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEFORE_THE_FIRST_TAG = "5218ee8b6046"
"""Nothing was released yet: a commit whose schema is two steps older stands for it until there is a tag."""


def take_earlier_release(folder: Path) -> Path:
    """The tree of the last tag before this commit. A checkout without its history does not hold it: the test is left out, with a word."""
    if _git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("the release before this one is in the history, which this checkout lacks: git fetch --unshallow")
    name = _git("describe", "--tags", "--abbrev=0", "HEAD^") or BEFORE_THE_FIRST_TAG
    packed = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as tree:
        tree.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
