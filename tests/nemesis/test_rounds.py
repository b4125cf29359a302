"""Five rounds of two controllers and two APIs under everything that may happen to them. Five hundred: `make prove ARGS=rounds`."""

import os
import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from typing import cast

import pytest

from tests.nemesis.evil import ACTS, Evil, Watch
from tests.nemesis.rounds import playing, write_wrapper
from tests.nemesis.site import Site

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


def test_a_time_without_a_leader_counts_while_one_of_the_two_can_come_to_the_database() -> None:
    site = cast("Site", None)  # neither asks it anything here
    evil, watch = Evil(site, {}, Random(0), pause_s=13.0), Watch(site, lease_s=10.0)
    watch.gaps = [(100.0, 112.0), (200.0, 220.0)]
    evil.away = [("one", 90.0, 103.0), ("other", 101.0, 114.0), ("one", 205.0, 218.0)]
    assert watch.find_longest_failover(evil, ("one", "other")) == 20.0
    evil.away += [("other", 203.0, 216.0)]
    assert watch.find_longest_failover(evil, ("one", "other")) == 10.0
    assert watch.find_longest() == 20.0
    watch.gaps.clear()
    assert watch.find_longest_failover(evil, ("one", "other")) == watch.find_longest() == 0.0


@pytest.mark.timeout(900)
def test_several_of_each_answer_as_one_would_whatever_happens_to_them() -> None:
    happened: Counter[str] = Counter()
    with playing() as play:
        for seed in range(ROUNDS):
            lived = play(seed)
            assert lived.faults == []
            happened.update(lived.figures)
    assert happened.keys() >= ACTS.keys()
