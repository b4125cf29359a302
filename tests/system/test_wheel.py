"""The wheel in an empty environment and an empty folder: all of the program is in it, and a newcomer gets a running lab."""

import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.system.manual_pages import typed
from tests.system.test_up import ROOT, Up, environment


def install(folder: Path) -> Path:
    """A virtual environment with the wheel, and with what it depends on from here; its Python."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    told = {"PYTHON": str(python), "NO_INDEX": "1", "NO_DEPS": "1", "FIND_LINKS": str(folder)}
    pip = typed("pip install 'lablink[diagrams]'", folder, environment(**{f"PIP_{key}": told[key] for key in told}))
    said = pip.communicate()[0].decode()
    assert (pip.returncode, "does not provide the extra" in said) == (0, False), said
    (packages,) = (folder / "venv/lib").glob("python3*/site-packages")
    # By its bare name: an editable install's own path file is not followed, so the checkout stays out of reach.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{_paths_of_path_files()}\n")
    return python


def _paths_of_path_files() -> str:
    """Where this environment borrows its packages from another one, as path files say, but for the checkout."""
    packages = Path(sysconfig.get_path("purelib"))
    lines = [line for file in packages.glob("*.pth") for line in file.read_text().splitlines()]
    return "\n".join(line for line in lines if line.startswith("/") and Path(line).resolve() != ROOT)


class FromWheel(Up):
    """`lablink up` without an option that says where anything is."""

    def __init__(self, python: Path, home: Path) -> None:
        self.data, self.output = home / ".lablink", home.parent / "up.log"
        command = [str(python.with_name("lablink")), "up", "--port", "0", "--boot-seconds", "1..2", "--no-ui-browser"]
        alone = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=home, env=alone, start_new_session=True
            )


def read_path(pid: int) -> str:
    """The PYTHONPATH that a process was started with."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.partition("=")[::2] for line in variables)["PYTHONPATH"]


def draw(python: Path, home: Path) -> bytes:
    """A picture of the example's document, from the Terraform files in the wheel."""
    words = ("diagram", "--type", "network-flow", "--output", "network.svg")
    alone = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    subprocess.run([str(python.with_name("lablink")), *words], cwd=home, env=alone, check=True, capture_output=True)
    return (home / "network.svg").read_bytes()


def test_a_newcomer_gets_a_lab_from_the_wheel_alone(tmp_path: Path) -> None:
    python, home = install(tmp_path), tmp_path / "home"
    (wheel,) = tmp_path.glob("*.whl")
    said = subprocess.run([python.with_name("lablink"), "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"lablink {wheel.name.split('-')[1]}\n"
    home.mkdir()
    up = FromWheel(python, home)
    try:
        pids = up.wait_ready()["pids"]
        up.eventually(lambda: "as declared" in up.output.read_text(), "the example's VMs")
        paths = {read_path(pids[name]) for name in ("api", "controller")}
    finally:
        assert up.stop(signal.SIGINT) == 0
    drawn = draw(python, home)
    assert paths == {str(next((tmp_path / "venv/lib").glob("python3*/site-packages")))}
    assert (home / "lablink.yaml").read_text() == (ROOT / "lablink.yaml").read_text()
    assert (home / "lablink.schema.json").read_text() == (ROOT / "lablink.schema.json").read_text()
    assert b"aws_security_group.allocator" in drawn
