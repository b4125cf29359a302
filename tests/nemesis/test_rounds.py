"""Five rounds of two controllers and two APIs under everything that may happen to them. Five hundred: `make prove ARGS=rounds`."""

from collections import Counter

import pytest

from tests.nemesis.evil import ACTS
from tests.nemesis.rounds import playing

ROUNDS = 5


@pytest.mark.timeout(900)
def test_several_of_each_answer_as_one_would_whatever_happens_to_them() -> None:
    happened: Counter[str] = Counter()
    with playing() as play:
        for seed in range(ROUNDS):
            lived = play(seed)
            assert lived.faults == []
            happened.update(lived.figures)
    assert happened.keys() >= ACTS.keys()
