"""A local state that a full disk or a power cut left half-written gives way to the one before it, and is never taken for empty."""

from pathlib import Path

import pytest

from controller.workspace import Workspace
from schemas.tfstate import parse_state

WHOLE = b'{"version": 4, "serial": 7, "resources": []}'
HALF = WHOLE[:20]


def make(folder: Path, state: bytes | None, backup: bytes | None) -> Workspace:
    for name, content in (("terraform.tfstate", state), ("terraform.tfstate.backup", backup)):
        if content is not None:
            (folder / name).write_bytes(content)
    return Workspace(folder, folder)


@pytest.mark.parametrize("cut", [HALF, b""])
def test_a_half_written_state_gives_way_to_the_one_before(tmp_path: Path, cut: bytes) -> None:
    workspace = make(tmp_path, cut, WHOLE)
    assert workspace.read_local_state() == WHOLE
    assert workspace.local_state.read_bytes() == WHOLE


def test_a_half_written_first_state_is_put_aside(tmp_path: Path) -> None:
    workspace = make(tmp_path, HALF, None)
    assert workspace.read_local_state() is None
    assert (tmp_path / "terraform.tfstate.broken").read_bytes() == HALF


def test_a_state_that_nothing_can_stand_in_for_is_unreadable_and_stays(tmp_path: Path) -> None:
    workspace = make(tmp_path, HALF, HALF)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        parse_state(workspace.read_local_state())
    assert workspace.local_state.read_bytes() == HALF


def test_a_whole_state_is_left_alone(tmp_path: Path) -> None:
    workspace = make(tmp_path, WHOLE, HALF)
    assert workspace.read_local_state() == WHOLE
    assert make(tmp_path / "none", None, None).read_local_state() is None
