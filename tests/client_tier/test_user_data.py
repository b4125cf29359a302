"""The user data as Terraform renders them: what shellcheck says, where the values stand, how much room is left."""

import gzip
import subprocess
import sysconfig
from pathlib import Path

from tests.client_tier.boot import Machine
from tests.client_tier.conftest import LINES_OF_STARTUP
from tests.client_tier.module import LOG_GROUP, REGION, TERRAFORM, token_of

SHELLCHECK = Path(sysconfig.get_path("scripts")) / "shellcheck"


def read_environment(script: str) -> list[str]:
    _, _, rest = script.partition("<<'LABLINK_ENV'\n")
    block, end, _ = rest.partition("\nLABLINK_ENV\n")
    assert end
    return block.split("\n")


def test_shellcheck_has_nothing_to_say(scripts: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "user-data.sh"
    path.write_text(scripts["hostile"])
    checked = subprocess.run([SHELLCHECK, path], text=True, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_environment_stands_in_one_quoted_block_of_plain_lines(scripts: dict[str, str]) -> None:
    assert scripts["gpu"].startswith("#!/bin/bash\n")
    assert read_environment(scripts["gpu"]) == [
        "ALLOCATOR_HOST=allocator.invalid",
        "ALLOCATOR_URL=http://allocator.invalid:5000",
        f"API_TOKEN={token_of('gpu')}",
        f"AWS_REGION={REGION}",
        f"CLOUD_INIT_LOG_GROUP={LOG_GROUP}",
        "LABLINK_ABANDONED_S=86400",
        "LABLINK_GPU=true",
        "LABLINK_IMAGE=ghcr.io/lablink/client:1",
        "LABLINK_SPOT=false",
        "STARTUP_ON_ERROR=continue",
        "SUBJECT_SOFTWARE=sleap",
        "TUTORIAL_REPO_TO_CLONE=https://example.org/tutorial.git",
        "VM_NAME=gpu",
    ]


def test_hostile_values_are_text_and_never_shell(scripts: dict[str, str], machine: Machine) -> None:
    code, log = machine.boot(scripts["hostile"])
    assert code == 0, log
    lines = (machine.root / "etc/lablink/client.env").read_text().splitlines()
    assert "TUTORIAL_REPO_TO_CLONE=https://x/$(touch pwned)`touch pwned`;touch pwned" in lines
    assert 'SUBJECT_SOFTWARE=it\'s "quoted" $HOME ${HOME} %{x} \\ & | é' in lines
    assert not list(machine.root.parent.rglob("pwned"))


def test_only_root_may_read_the_token_and_no_other_file_holds_it(scripts: dict[str, str], machine: Machine) -> None:
    _, log = machine.boot(scripts["plain"])
    token = token_of("plain")
    environment = machine.root / "etc/lablink/client.env"
    assert environment.stat().st_mode & 0o777 == 0o600
    holders = [path for path in machine.root.rglob("*") if path.is_file() and token in path.read_text(errors="replace")]
    assert holders == [environment]
    assert token not in log
    assert token not in "\n".join(machine.calls)


def test_start_up_script_arrives_byte_for_byte(scripts: dict[str, str], machine: Machine) -> None:
    machine.boot(scripts["plain"])
    assert (machine.root / "etc/lablink/startup.sh").read_text() == LINES_OF_STARTUP


def test_our_own_part_leaves_half_of_the_room_to_the_start_up_script(scripts: dict[str, str]) -> None:
    assert len(gzip.compress(scripts["no-startup"].encode())) < 8192


def test_no_file_of_ours_ends_its_own_heredoc() -> None:
    text = (TERRAFORM / "vms/reporter.py").read_text() + (TERRAFORM / "vms/setup.sh").read_text()
    assert not {"LABLINK_REPORTER", "LABLINK_STARTUP", "LABLINK_ENV"} & set(text.splitlines())
