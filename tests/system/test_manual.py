"""What the manual tells its reader to type, typed in a sandbox, page by page; what needs more than a sandbox has a test of its own, or a reason."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.system.test_up import DOCUMENT, ROOT, Up, environment, running

BLOCK = re.compile(r"```(\w*)(?: title=\"([\w.]+)\")?\n(.*?)```", re.S)
BUCKET = "example-backups"
FIRST = ("README.md", "docs/index.md")
"""Whose commands expect the example's five VMs."""
PAGES = list(dict.fromkeys([*FIRST, *sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("d*/**/*.md")])]))  # fmt: skip

ELSEWHERE = {
    "make up": ("tests/system/test_up.py", '"lablink", "up"'),
    "make check": ("Makefile", "pytest tests/unit tests/property tests/scenarios"),
    "make test": ("Makefile", "pytest -n 3"),
    "lablink infra init": ("tests/infrastructure/test_changes.py", 'infra(lab, "init")'),
    "lablink infra plan": ("tests/infrastructure/test_changes.py", 'infra(lab, "plan"'),
    "lablink infra apply --replace": ("tests/infrastructure/test_changes.py", "replace"),
    "lablink infra apply": ("tests/infrastructure/test_changes.py", 'infra(lab, "apply"'),
    "lablink infra output": ("tests/infrastructure/test_changes.py", 'infra(lab, "output")'),
    "lablink infra destroy --unprotect": ("tests/infrastructure/test_changes.py", '"--unprotect"'),
    "lablink infra bootstrap": ("tests/infrastructure/test_matrix.py", '"apply", "-auto-approve", bootstrap=True'),
    "lablink restore": ("tests/postgres/test_backup.py", "restore_backup("),
    "lablink adopt-older": ("tests/system/test_lost_record.py", 'word="adopt-older"'),
    "lablink adopt": ("tests/system/test_lost_record.py", 'word: str = "adopt"'),
    "lablink release": ("tests/unit/test_cli_answers.py", '"release"'),
    "lablink keys": ("tests/system/test_serve.py", '"lablink", "keys"'),
    "lablink rekey": ("tests/postgres/test_rekey.py", 'run_cli("rekey"'),
    "aws ec2 create-volume": ("tests/infrastructure/test_changes.py", "create_volume("),
    "terraform state rm": ("tests/infrastructure/test_changes.py", '"state", "rm"'),
    "terraform import": ("tests/infrastructure/test_changes.py", '"import"'),
    "docker build": ("tests/infrastructure/test_image.py", "deploy"),
    "LABLINK_IMAGE=": ("tests/infrastructure/test_host.py", "compose.yaml"),
    "sudo apt-get install graphviz": (".ci/run", "install graphviz dot"),
    "pip install 'lablink[diagrams]'": ("pyproject.toml", '"lablink[diagrams,sandbox]"'),
    "sudo tee": ("tests/system/test_serve.py", "LABLINK_POSTGRES_DIR"),
}
"""By how a command begins, the first that fits: the file that runs it, and the text there that does."""

NOWHERE = {
    "source .venv/bin/activate": "the environment's commands are on the test's path",
    "export LABLINK_URL": "names the reader's own server; what follows runs in the sandbox",
    "LABLINK_DATABASE_DSN=": "a line of a file, with the reader's own database",
    "sudo systemctl": "needs systemd and an allocator's host",
    "sudo mkdir": "needs a host of one's own",
    "sudo chown": "needs a host of one's own",
    "docker push": "needs the reader's registry",
}
"""What no test runs, and why not."""

STAND_INS = {"http://127.0.0.1:5000": "$SANDBOX", "POOL": "client"}


@dataclass(frozen=True, eq=False)
class Command:
    """One line of a block, with the lines that belong to it, as it is typed; two are the same whatever is said of them."""

    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(tuple(self.parts))

    @property
    def parts(self) -> list[str]:
        plain = re.sub(r"\s#.*", "", self.text.splitlines()[0])
        return [part.strip() for part in re.split(r";|&&", plain) if part.strip()]

    @property
    def outside(self) -> list[str]:
        """Of each part that no sandbox can run, the key above that it begins with."""
        keys = [next((key for key in (*ELSEWHERE, *NOWHERE) if part.startswith(key)), "") for part in self.parts]
        return [key for key in keys if key]


def commands_of(text: str) -> list[Command]:
    """Of a block: lines that end with a backslash go on, and `<<'WORD'` takes all up to that word."""
    found, lines = [], iter(text.splitlines())
    for line in lines:
        taken = [line]
        while taken[-1].rstrip().endswith("\\"):
            taken.append(next(lines))
        if here := re.search(r"<<'(\w+)'", line):
            while taken[-1] != here[1]:
                taken.append(next(lines))
        if line.strip() and not line.startswith("#"):
            found.append(Command("\n".join(taken)))
    return found


def blocks_of(page: str) -> list[tuple[str, str, str]]:
    """Language, file name, text."""
    return BLOCK.findall((ROOT / page).read_text())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A reader's folder with a running sandbox, and the environment there: the allocator's own, as on its host."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "lablink.yaml").write_text(f"{DOCUMENT}backup: {{bucket: {BUCKET}}}\n")
    with running(folder) as up:
        address = up.wait_ready()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = environment(**allocator_of(up), PATH=path, LABLINK_DATA=str(up.data), SANDBOX=address["url"])
        make: Any = boto3.client
        keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
        s3 = make("s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-west-2", **keys)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield folder, env


def allocator_of(up: Up) -> dict[str, str]:
    pid = up.wait_ready()["pids"]["controller"]
    told = dict(one.partition("=")[::2] for one in Path(f"/proc/{pid}/environ").read_text().split("\0") if one)
    return {name: value for name, value in told.items() if name.startswith(("LABLINK_", "AWS_"))}


def test_every_command_is_run_here_or_elsewhere_or_has_a_reason() -> None:
    typed = [
        command for page in PAGES for kind, _, text in blocks_of(page) if kind == "sh" for command in commands_of(text)
    ]
    used = {key for command in typed for key in command.outside}
    assert used == {*ELSEWHERE, *NOWHERE}, "what no page says any more leaves the lists"
    assert not [one.text for one in typed if 0 < len(one.outside) < len(one.parts)], (
        "only a part of these can be run here"
    )
    assert len(NOWHERE) < 8
    for file, text in ELSEWHERE.values():
        assert text in (ROOT / file).read_text(), f"{file} does not run it"
    hidden = [text for page in PAGES for kind, _, text in blocks_of(page) if kind == "" and re.search(r"^(\$ )?(make|lablink|sudo|docker) ", text, re.M)]  # fmt: skip
    assert not hidden, "blocks with commands are marked as sh"


HERE = [
    page
    for page in PAGES
    if any(kind == "sh" and any(not c.outside for c in commands_of(t)) for kind, _, t in blocks_of(page))
]


@pytest.mark.parametrize("page", HERE)
def test_a_page_can_be_followed(lab: tuple[Path, dict[str, str]], page: str) -> None:
    folder, env = lab
    typed: set[Command] = set()  # what a page repeats is typed once
    for kind, name, text in blocks_of(page):
        if name:
            (folder / name).write_text(text)
        if kind == "sh":
            new = [command for command in commands_of(text) if not command.outside and command not in typed]
            done = run(folder, env, "\n".join(command.text for command in new))
            assert done.returncode == 0, done.stdout
            typed.update(new)


def run(folder: Path, env: dict[str, str], script: str) -> "subprocess.CompletedProcess[str]":
    """As a reader would with the environment's commands on the path; stops at the first that fails."""
    for name, value in STAND_INS.items():
        script = re.sub(rf"(?<![\w|]){re.escape(name)}\b", value, script)
    return subprocess.run(
        ["bash", "-ex"],
        input=script,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
