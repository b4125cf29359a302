"""What a shell is told when it asks how a line could go on."""

import subprocess
import sys

import pytest

from tests.system.test_up import environment


def complete(line: str) -> list[str]:
    words = line.split(" ")
    asked = environment(_LABLINK_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    done = subprocess.run([sys.executable, "-m", "lablink"], env=asked, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lablink stat", ["status"]),
        ("lablink scale client --m", ["--min", "--max"]),
        ("lablink infra boo", ["bootstrap"]),
        ("lablink tokens re", ["revoke"]),
        ("lablink diagram --type arch", ["architecture", "architecture-detailed"]),
    ],
)
def test_a_word_is_completed(line: str, words: list[str]) -> None:
    assert complete(line) == words
