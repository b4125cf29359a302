"""What a failed VM left behind; read before it ended, so that somebody can see later why it failed."""

from datetime import datetime

from schemas.frozen import Frozen


class Evidence(Frozen):
    """`console` is the end of EC2's console output, `log` the last lines of the VM's log; secrets are taken out of both."""

    at: datetime
    reason: str
    console: str
    log: str
    run_id: int | None
