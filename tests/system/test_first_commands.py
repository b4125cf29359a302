"""What a reader types before there is a LabLink: `make`, and what has to be installed; as the manual has it, with settings by environment."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.system.manual_pages import typed
from tests.system.stand_ins import put_on_path
from tests.system.test_up import ROOT, Lab, Up, environment, wait_gone

CHECKERS = ("python", "pytest", "ruff", "mypy", "lint-imports")


def with_venv(folder: Path) -> dict[str, str]:
    """An environment in which `make` finds its virtual environment, whose programs lie in `folder`."""
    (folder / ".ready").touch()
    return environment(MAKEFLAGS=f"VENV={folder}", MAKELEVEL="0")  # as from a shell, also where `make test` runs this


class ByMake(Up):
    """`make up`; a terminal's Ctrl-C reaches make and what it has started."""

    def __init__(self, folder: Path) -> None:
        self.data, self.output = folder / "data", folder / "up.log"
        venv = folder / "venv"
        venv.mkdir()
        (venv / "bin").symlink_to(Path(sys.executable).parent)
        options = f"--data {self.data} --file {folder / 'lablink.yaml'} --port 0 --boot-seconds 1..2 --no-ui-browser"
        with self.output.open("ab") as output:
            self.process = typed("make up", ROOT, {**with_venv(venv), "ARGS": options}, output)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        os.killpg(self.process.pid, number)
        return self.process.wait(180)


def test_make_up_explains_an_invalid_first_file_and_takes_it_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "lablink.yaml").write_text("pools: {client: {sise: 1}}\n")
    up = ByMake(tmp_path)
    try:
        lab = Lab(up.wait_ready())
        assert 'did you mean "size"?' in up.output.read_text()
        (tmp_path / "lablink.yaml").write_text("pools: {client: {size: 1}}\n")
        up.eventually(lambda: lab.all_ready(1), "a ready VM")
    finally:
        up.stop()
    assert wait_gone(tmp_path) == []


def test_make_check_and_make_test_call_every_checker(tmp_path: Path) -> None:
    """This run may itself be `make test`, so the programs only say what they are called with."""
    (tmp_path / "bin").mkdir()
    for name in CHECKERS:
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    checked = typed("make check", ROOT, with_venv(tmp_path))
    tested = typed("make test", ROOT, with_venv(tmp_path))
    said = [one.communicate()[0].decode().splitlines() for one in (checked, tested)]
    assert (checked.returncode, tested.returncode) == (0, 0), said
    always = ["lint-imports", "mypy", "ruff check .", "ruff format --check ."]
    for lines in said:
        assert sorted(line for line in lines if line in always) == always
    assert said[0][-1] == "pytest tests/unit tests/property tests/scenarios"
    assert "pytest tests/browser" in said[1]
    others = [line for line in said[1] if line.startswith("pytest -n ")]
    assert [line.partition("--ignore ")[2].split()[0] for line in others] == ["tests/browser"]


@pytest.mark.skipif(not (os.environ.get("CI") or shutil.which("apt-get")), reason="Debian's and Ubuntu's command")
def test_graphviz_is_a_package_of_that_name(tmp_path: Path) -> None:
    put_on_path(tmp_path / "bin")
    (tmp_path / "apt.conf").write_text('APT::Get::Simulate "true";\nAPT::Get::Assume-Yes "true";\n')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    env = environment(APT_CONFIG=str(tmp_path / "apt.conf"), PATH=path)
    asked = typed("sudo apt-get install graphviz", ROOT, env)
    assert "graphviz is already" in (said := asked.communicate()[0].decode()) or "Inst graphviz" in said
    assert asked.returncode == 0
