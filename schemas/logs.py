"""Lines of a VM's log, as readers get them."""

from datetime import datetime

from schemas.frozen import Frozen


class LogLine(Frozen):
    """`number` counts the lines of a VM as they came in, with gaps; readers go on from it. `at` is CloudWatch's time."""

    number: int
    at: datetime
    line: str


class LogPage(Frozen):
    """Some lines in the order in which they came in; `next` is `after` of the following page, `more` whether it has any yet."""

    hostname: str
    items: list[LogLine]
    next: int
    more: bool


class WholeLog(Frozen):
    """The lines as one text, in the order of their times; null while there is none."""

    hostname: str
    logs: str | None
