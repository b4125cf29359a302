"""`POST /api/v1/simulate`: a document (or the one in force) rehearsed for days in a simulated world. Nothing real is touched."""

from datetime import UTC, datetime
from threading import Lock
from typing import Any

from anyio import to_process, to_thread
from litestar import post
from litestar.params import JSONBody
from pydantic import Field

from api.errors import BadInputError, NotFoundError, NotNowError
from api.in_force import DesiredInForce
from api.parts import TheDesired
from controller.simulate.plan import NoPlan, read_plan, rehearse_plan
from controller.simulate.rehearsal import TooLarge
from schemas.access import Scope
from schemas.document import parse_lab
from schemas.frozen import Frozen
from schemas.lab import Lab
from schemas.simulation import Report

ORIGIN = "lablink.yaml"
BUSY = Lock()
"""One rehearsal at a time: each takes a core."""


class Wanted(Frozen):
    """`yaml` empty: the document in force. `plan` as `schemas.simulation.Plan`; what is left out has its default."""

    yaml: str = Field(default="", max_length=1_000_000)
    plan: dict[str, Any] = Field(default={}, examples=[{"days": 1, "arrivals": {"client": 40}, "fail": {"g4dn": 0.6}}])


@post("/simulate", status_code=200, scope=Scope.READ)
async def post_simulate(data: JSONBody[Wanted], desired: TheDesired) -> Report:
    """People, waits, seats ready by when, refusals, VM-hours and cost, pool by pool, with samples for a plot.

    Lived through in a process of its own: what reckons for seconds must not hold up the waiting VMs.
    """
    lab = await _read_lab(data.yaml, desired)
    if not BUSY.acquire(blocking=False):
        raise NotNowError("another rehearsal is under way; try again in a moment")
    try:
        plan = read_plan(lab, data.plan, datetime.now(UTC))
        return await to_process.run_sync(rehearse_plan, lab, plan, cancellable=True)
    except (NoPlan, TooLarge) as error:
        raise BadInputError(str(error)) from None
    finally:
        BUSY.release()


async def _read_lab(text: str, desired: DesiredInForce) -> Lab:
    if text:
        return (await to_thread.run_sync(parse_lab, text, ORIGIN)).lab
    in_force = await desired.read()
    if in_force is None:
        raise NotFoundError("no desired state was accepted yet: send a document to rehearse")
    return in_force.lab


ROUTES = [post_simulate]
