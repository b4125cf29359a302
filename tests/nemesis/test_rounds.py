"""Five rounds of two controllers and two APIs under everything that may happen to them. Five hundred: `make prove ARGS=rounds`."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.nemesis.evil import ACTS
from tests.nemesis.rounds import playing, write_wrapper

ROUNDS = 5


def test_a_terraform_that_meets_another_on_its_state_is_found(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = tmp_path / "terraform"
    slow.write_text(f'#!/bin/sh\n[ "$2" ] || read -r _ <"{gate}"\n')  # without an option it works until it is let go
    slow.chmod(0o755)
    wrapper = write_wrapper(tmp_path, str(slow))

    def start(command: str, state: str, *options: str) -> subprocess.Popen[bytes]:
        address = {"TF_HTTP_ADDRESS": f"http://127.0.0.1:1/{state}"}
        return subprocess.Popen([wrapper, command, *options], env={**os.environ, **address})

    first = start("apply", "client/one")
    with gate.open("w") as opened:  # which waits for who reads it: it works
        assert start("apply", "client/two", "quick").wait() == 0
        assert not (tmp_path / "met").exists()
        assert start("plan", "client/one", "quick").wait() == 1
        opened.write("go\n")
    assert first.wait() == 0
    assert start("plan", "client/one", "quick").wait() == 0
    assert (tmp_path / "met").read_text() == "plan client_one\n"


@pytest.mark.timeout(900)
def test_several_of_each_answer_as_one_would_whatever_happens_to_them() -> None:
    happened: Counter[str] = Counter()
    with playing() as play:
        for seed in range(ROUNDS):
            lived = play(seed)
            assert lived.faults == []
            happened.update(lived.figures)
    assert happened.keys() >= ACTS.keys()
