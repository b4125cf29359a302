"""Simulated weeks keep every rule at every tick, come to rest after the last fault, and never flap. More by LABLINK_WEEKS=100.

30 seeds are always the same, as many as LABLINK_WEEKS (else 10) are fresh; a failing one names the command that lives through it again.
"""

import os
from random import SystemRandom

import pytest

from controller.simulate.ledger import report
from tests.property.weeks import find_faults, live_a_week

FIXED = range(30)
FRESH = [SystemRandom().randrange(2**32) for _ in range(int(os.environ.get("LABLINK_WEEKS", "10")))]
CHUNKS = [FIXED[:15], FIXED[15:], FRESH[: len(FRESH) // 2], FRESH[len(FRESH) // 2 :]]


@pytest.mark.parametrize("seeds", CHUNKS, ids=["fixed-1", "fixed-2", "fresh-1", "fresh-2"])
def test_every_week_keeps_the_rules_and_comes_to_rest(seeds: list[int]) -> None:
    for seed in seeds:
        command = f"python -m tests.property.weeks {seed}"
        try:
            faults = find_faults(live_a_week(seed))
        except Exception as error:
            raise AssertionError(command) from error
        assert not faults, command


def test_the_same_seed_is_the_same_week() -> None:
    assert report(live_a_week(3)) == report(live_a_week(3))
