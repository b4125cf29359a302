"""What the calls of client VMs and of the log Lambda need, as one part.

These calls come by the thousands a second, and Litestar resolves two or more parts in a task group of its own for each call.
"""

from dataclasses import dataclass

from api.callers import Callers
from api.in_force import DesiredInForce
from api.log_writer import LogWriter
from api.reports import Reports
from store.db import Db


@dataclass(frozen=True, slots=True)
class Intake:
    """Who calls, and where what they say is written."""

    callers: Callers
    db: Db
    desired: DesiredInForce
    logs: LogWriter
    reports: Reports
