"""One frozen view of what is desired and what is observed, with `now`: all that a decision may depend on.

Read by `store.state` in one REPEATABLE READ transaction; stored with each tick that changed something, so that it can be replayed.
"""

from datetime import datetime
from uuid import UUID

from schemas.frozen import Frozen
from schemas.lab import Lab
from schemas.pool import Asked, Attendance, Base, GivenUp, PoolRow, Refusal, Run
from schemas.price import Approval, LivePrice, Usage
from schemas.vm import Instance, Vm


class Listing(Frozen):
    """How far the last whole listing of a region's instances can be believed. A region without one is not acted on."""

    region: str
    taken_at: datetime  # when the listing was asked for


class Snapshot(Frozen):
    now: datetime
    deployment_id: UUID
    deployed_at: datetime | None = None  # when the deployment's record began: nothing was paid for before
    version: int  # the desired version in force
    lab: Lab
    pools: dict[str, PoolRow]  # declared and removed ones
    vms: tuple[Vm, ...]  # every row that is not gone, by host name
    instances: tuple[
        Instance, ...
    ] = ()  # those that no present row has recorded: orphans, duplicates, and unrecorded new ones
    gone: dict[str, Vm] = {}  # rows that are gone whose host name an instance above still carries
    listings: dict[str, Listing] = {}  # by region; missing: the last listing could not be read whole
    bases: tuple[Base, ...] = ()
    runs: dict[str, Run] = {}  # newest run by state key, of states with present rows
    refusals: tuple[Refusal, ...] = ()
    starts: dict[
        str, dict[str, float]
    ] = {}  # by pool and type: p90 of the last start-up times in seconds, of pools with courses
    attendance: dict[str, Attendance] = {}  # by course
    given_up: tuple[GivenUp, ...] = ()
    asked: dict[str, Asked] = {}  # by pool; missing: nobody waits and nobody left lately
    api_up_since: datetime | None = None  # None: no API process is up, nobody can be heard
    observe_only: str | None = (
        None  # why nothing may be done (another account's credentials, another deployment's database)
    )
    settle_s: float = 60.0  # two looks lie at least this far apart
    live_prices: tuple[LivePrice, ...] = ()
    usage: tuple[Usage, ...] = ()  # of the month that runs; empty while no monthly budget is declared
    approval: Approval | None = None  # of the version in force, where it needs one
