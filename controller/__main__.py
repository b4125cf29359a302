"""`python -m controller`: wires settings, database, cloud and handlers together, and leads whenever the lease is free."""

import os
import signal
import sys
from functools import partial

import anyio
import structlog
from pydantic import ValidationError

from controller.actuator import open_actuator
from controller.ec2 import Ec2
from controller.leadership import stand_by
from controller.loop import actuate_pool, reconcile_once
from controller.observe import observe_cloud
from controller.runtime import Handler, Runtime
from controller.wakeups import listen, watch_file
from controller.world import World
from schemas.settings import Settings
from store.db import Db, open_db
from store.lease import Lease

log = structlog.get_logger()

NOTIFIED = ("reconcile", "desired")


async def run(settings: Settings) -> None:
    """Stand by and lead until SIGTERM or SIGINT; then let a running apply finish."""
    stopping = anyio.Event()
    async with open_db(settings.database_dsn) as db, anyio.create_task_group() as group:
        group.start_soon(_wait_for_signal, stopping)
        await stand_by(db, settings.lease_ttl_s, partial(lead, settings, db, stopping), stopping)
        group.cancel_scope.cancel()


async def lead(settings: Settings, db: Db, stopping: anyio.Event, lease: Lease) -> None:
    """One term: all handlers run until `stopping` is set; then what runs may end, and nothing new begins."""
    runtime = Runtime()
    ec2 = Ec2()
    async with open_actuator(db, lease, settings, ec2, os.environ) as actuator:
        world = World(db, lease, settings, ec2, runtime.wake)
        runtime.handlers = (
            Handler("reconcile", lambda _: reconcile_once(world), ("reconcile", "desired"), lambda: settings.tick_s),
            Handler("observe", lambda region: observe_cloud(world, region), ("look",), lambda: settings.listing_s),
            Handler("actuate", lambda pool: actuate_pool(world, actuator, pool), ("actuate",)),
        )
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run)
            group.start_soon(listen, settings.database_dsn, NOTIFIED, runtime.wake)
            if settings.desired_file:
                group.start_soon(watch_file, settings.desired_file.absolute(), runtime.wake)
            await stopping.wait()
            await runtime.drain(settings.terraform_grace_s)
            group.cancel_scope.cancel()


async def _wait_for_signal(stopping: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            stopping.set()


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"controller: {'; '.join(detail['msg'] for detail in error.errors())}\n")
        return 1
    anyio.run(run, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
