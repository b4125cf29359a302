"""Lives of a whole deployment, with everything real but the cloud, Terraform and time: rules hold at each step, and rest is reached.

30 seeds are always the same, 10 are fresh (as many as LABLINK_LIVES says), and those that ever failed are kept. A failing seed names
the command that lives through it again.
"""

import os
from pathlib import Path
from random import SystemRandom

import pytest

from tests.simulation.life import Databases, live_through

KEPT = [
    int(line.split()[0])
    for line in (Path(__file__).parent / "kept_seeds.txt").read_text().splitlines()
    if line[:1].isdigit()
]
FIXED = range(30)
FRESH = [SystemRandom().randrange(2**32) for _ in range(int(os.environ.get("LABLINK_LIVES", "10")))]
CHUNKS = [FIXED[:10], FIXED[10:20], FIXED[20:], FRESH, KEPT]


@pytest.mark.parametrize("seeds", CHUNKS, ids=["fixed-1", "fixed-2", "fixed-3", "fresh", "kept"])
def test_every_life_keeps_the_rules_and_comes_to_rest(databases: Databases, seeds: list[int]) -> None:
    for seed in seeds:
        with databases.fresh(f"life_{seed}") as dsn:
            stage = live_through(seed, dsn)
        assert not stage.faults, f"python -m tests.simulation.life --trace {seed}"


def test_the_same_seed_is_the_same_life(databases: Databases) -> None:
    traces = []
    for name in ("once", "again"):
        with databases.fresh(name) as dsn:
            traces.append(live_through(3, dsn).trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 20
