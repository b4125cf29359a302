"""What the manual tells its reader to type in the sandbox, typed there, page by page."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.test_up import DOCUMENT, ROOT, environment, running

DOCS = ROOT / "docs"
PAGES = ["index.md", *sorted(f"guides/{page.name}" for page in (DOCS / "guides").glob("*.md"))]
BLOCK = re.compile(r"```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "lablink.yaml").write_text(DOCUMENT)
    with running(folder) as up:
        up.wait_ready()
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(folder: Path, page: str) -> None:
    lines = 0
    for kind, name, text in BLOCK.findall((DOCS / page).read_text()):
        if name:
            (folder / name).write_text(text)
        if kind == "sh":
            lines += len(text.splitlines())
            done = run(folder, text)
            assert done.returncode == 0, done.stdout
    assert lines


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """As a reader would with the environment's commands on the path; stops at the first that fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-ex"],
        input=script,
        cwd=folder,
        env=environment(PATH=path, LABLINK_DATA=str(folder / "data")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
