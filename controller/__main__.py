"""`python -m controller`: wires settings, database, cloud and handlers together, and leads whenever the lease is free."""

import gc
import os
import signal
import sys
from contextlib import suppress
from functools import partial

import anyio
import structlog
from pydantic import ValidationError

from controller.actuator import Actuator, open_actuator
from controller.amis import resolve_pool
from controller.backups import LOOK_S as BACKUP_LOOK_S
from controller.backups import back_up_when_due
from controller.base_drift import look_at_bases
from controller.credentials import follow_credentials
from controller.ec2 import Ec2
from controller.errors import NeedsOperator
from controller.leadership import stand_by
from controller.live_prices import LOOK_S, refresh_prices
from controller.loop import actuate_pool, reconcile_once
from controller.metric import SEND_S, send_metric
from controller.notify.deliver import SLOW_S, deliver
from controller.observe import observe_cloud
from controller.runtime import Handler, Runtime
from controller.tags import keep_tags
from controller.wakeups import listen, watch_file
from controller.world import World
from schemas.settings import Settings
from store.assignment import CHANNEL as ASSIGNMENT
from store.credentials import CHANNEL as CREDENTIALS
from store.db import UNREACHABLE, Db, open_db
from store.lease import Lease
from store.log import redact, set_up_log
from store.migrate import find_missing
from store.notification import CHANNEL as NOTICE
from store.secret import Cipher

log = structlog.get_logger()

NOTIFIED = ("reconcile", "desired")


async def run(settings: Settings) -> str:
    """Stand by and lead until SIGTERM or SIGINT; then let a running apply finish. Returns why it cannot begin, if so."""
    stopping = anyio.Event()
    async with open_db(settings.database_dsn) as db, anyio.create_task_group() as group:
        group.start_soon(_wait_for_signal, stopping)
        wrong = await _find_wrong_schema(db, stopping)
        if not wrong:
            await stand_by(db, settings.lease_ttl_s, partial(lead, settings, db, stopping), stopping)
        group.cancel_scope.cancel()
    return wrong


async def _find_wrong_schema(db: Db, stopping: anyio.Event) -> str:
    """A sentence, or "" when all is well. Asks until PostgreSQL answers, or the program is told to stop."""
    while not stopping.is_set():
        try:
            missing = await find_missing(db)
        except UNREACHABLE as error:
            log.warning("the database cannot be reached; trying again", error=str(error))
            with anyio.move_on_after(1):
                await stopping.wait()
            continue
        if missing:
            return f"the database is of an earlier release, it lacks {', '.join(missing)}; `lablink migrate` adds them"
        break
    return ""


async def lead(settings: Settings, db: Db, stopping: anyio.Event, lease: Lease) -> None:
    """One term: all handlers run until `stopping` is set; then what runs may end, and nothing new begins."""
    runtime = Runtime()
    ec2, cipher = Ec2(), Cipher.of(settings)
    async with open_actuator(db, lease, settings, ec2, os.environ) as actuator:
        world = World(db, lease, settings, ec2, runtime.wake)
        with suppress(NeedsOperator, *UNREACHABLE):  # the handler says it, and tries again
            await follow_credentials(world, cipher)  # before anything asks AWS
        runtime.handlers = make_handlers(world, actuator, cipher)
        async with anyio.create_task_group() as group:
            group.start_soon(runtime.run)
            group.start_soon(listen, settings.database_dsn, (*NOTIFIED, NOTICE, CREDENTIALS, ASSIGNMENT), runtime.wake)
            if settings.desired_file:
                group.start_soon(watch_file, settings.desired_file.absolute(), runtime.wake)
            await stopping.wait()
            await runtime.drain(settings.terraform_grace_s)
            group.cancel_scope.cancel()


def make_handlers(world: World, actuator: Actuator, cipher: Cipher) -> tuple[Handler, ...]:
    """What a leading controller does, and what wakes each part of it."""
    settings = world.settings
    return (
        Handler("reconcile", lambda _: reconcile_once(world), NOTIFIED, lambda: settings.tick_s, keyed=False),
        Handler("observe", lambda region: observe_cloud(world, region), ("look",), lambda: settings.listing_s),
        Handler("resolve", lambda pool: resolve_pool(world, pool), ("resolve",)),
        Handler("actuate", lambda pool: actuate_pool(world, actuator, pool), ("actuate",)),
        Handler("tags", lambda _: keep_tags(world), (ASSIGNMENT, "tags"), keyed=False),
        Handler("notify", lambda _: deliver(world), (NOTICE,), lambda: SLOW_S, keyed=False),
        Handler("credentials", lambda _: follow_credentials(world, cipher), (CREDENTIALS,), lambda: settings.listing_s),
        Handler("backup", lambda _: back_up_when_due(world), (), lambda: BACKUP_LOOK_S, keyed=False),
        Handler("metric", lambda _: send_metric(world), (), lambda: SEND_S, keyed=False),
        Handler("bases", lambda _: look_at_bases(world, actuator), (), lambda: settings.base_look_s, keyed=False),
        Handler("prices", lambda _: refresh_prices(world), (), lambda: LOOK_S),
    )


async def _wait_for_signal(stopping: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            stopping.set()


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        said = (" ".join([*map(str, detail["loc"]), detail["msg"]]) for detail in error.errors())
        sys.stderr.write(f"controller: {'; '.join(said)}\n")
        return 1
    set_up_log()
    redact.learn(settings)
    gc.collect()
    gc.freeze()  # what was imported is there for good: no tick pays for looking through it
    if wrong := anyio.run(run, settings):
        sys.stderr.write(f"controller: {wrong}\n")
        return 1
    sys.stdout.flush()
    sys.stderr.flush()
    # All that was begun has ended; but a thread that waits for an AWS that is silent would hold us for minutes.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
