"""What has ever failed does not fail again, and some inputs of this run: `make prove` tries a hundred thousand."""

import pytest

from tests.property.fuzzing import CORPUS, TARGETS, fail, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_passes(name: str) -> None:
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    assert {path.name: said for path in kept if (said := fail(TARGETS[name], path.read_bytes()))} == {}


@pytest.mark.parametrize("seed", range(4))
def test_inputs_of_a_seed_pass(seed: int) -> None:
    assert fuzz(seed).faults == []


def test_a_target_that_fails_is_told() -> None:
    def breaks(content: bytes) -> None:
        assert b"x" not in content, "there is an x"

    assert fail(breaks, b"abc") == ""
    assert fail(breaks, b"axc").startswith("AssertionError: there is an x")
