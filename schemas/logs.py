"""Lines of a VM's log, as readers get them."""

from datetime import datetime

from schemas.frozen import Frozen


class LogLine(Frozen):
    """`number` counts the lines of a VM as they came in, with gaps; readers go on from it. `at` is CloudWatch's time."""

    number: int
    at: datetime
    line: str
