"""What somebody in line is told of the time, as a table."""

import pytest

from api.eta import estimate_s
from store.line import Pace

MEASURED = (200.0, 240.0, 300.0)


@pytest.mark.parametrize(
    ("pace", "position", "expected"),
    [
        pytest.param(Pace((), (), (10.0,), None), 1, None, id="nothing was ever measured"),
        pytest.param(Pace(MEASURED, (), (), None), 1, None, id="nothing is on its way"),
        pytest.param(Pace(MEASURED, (), (60.0,), None), 1, 180, id="the typical start less its age"),
        pytest.param(Pace(MEASURED, (), (60.0, 100.0), None), 1, 140, id="the oldest comes first"),
        pytest.param(Pace(MEASURED, (), (60.0, 100.0), None), 2, 180, id="the second waits for the second"),
        pytest.param(Pace(MEASURED, (), (60.0,), None), 2, None, id="nothing is on its way for the second"),
        pytest.param(Pace(MEASURED, (), (220.0,), None), 1, 50, id="one that is late is judged by the later ones"),
        pytest.param(Pace(MEASURED, (), (900.0,), None), 1, None, id="of one later than all nothing is known"),
        pytest.param(Pace(MEASURED, (), (900.0, 60.0), None), 2, None, id="nor of who comes after the known"),
        pytest.param(Pace(MEASURED, (40.0,), (0.0,), 2), 3, 280, id="one batch more after a failure"),
        pytest.param(Pace(MEASURED, (40.0,), (0.0,), 2), 4, 320, id="two batches more"),
        pytest.param(Pace(MEASURED, (), (0.0,), 1), 2, 480, id="a batch of unknown length is taken for a whole start"),
        pytest.param(Pace((), (), (), 1), 1, None, id="a batch after which nothing was measured"),
    ],
)
def test_time_is_estimated_from_what_was_measured(pace: Pace, position: int, expected: int | None) -> None:
    assert estimate_s(pace, position) == expected
