"""`python -m tests.terraform.actuation_process`: a controller that makes one round and can be killed; see test_actuate_kills.

Its standard input holds a JSON object: name, dsn, folder, backend, environment (of the cloud), aws_url.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from controller.actuate import actuate_once
from controller.actuator import open_actuator
from controller.ec2 import Ec2
from controller.slots import Slots
from schemas.document import parse_lab
from store.db import Db, open_db
from store.lease import Lease, renew_lease, take_lease
from tests.terraform.actuation_world import POOL, QUICK, TEXT, make_settings

LEASE_S = 2.0


async def main(told: dict[str, Any]) -> None:
    lab = parse_lab(TEXT.format(name=told["name"], backend=told["backend"])).lab
    async with open_db(told["dsn"], max_size=4) as db:
        lease = None
        while lease is None:
            lease = await take_lease(db, "to be killed", ttl_s=LEASE_S)
            await anyio.sleep(0.05)
        settings = make_settings(told["dsn"], Path(told["folder"]) / "work")
        ec2 = Ec2(told["aws_url"], "test", "test")
        async with open_actuator(db, lease, settings, ec2, told["environment"]) as actuator:
            terraform = replace(actuator.terraform, pace=QUICK)
            quick = replace(actuator, terraform=terraform, slots=Slots(most_creates=2))
            async with anyio.create_task_group() as group:
                group.start_soon(keep_lease, db, lease)
                await actuate_once(quick, lab, POOL, {})
                group.cancel_scope.cancel()


async def keep_lease(db: Db, lease: Lease) -> None:
    while True:
        await anyio.sleep(LEASE_S / 4)
        await renew_lease(db, lease, LEASE_S)


if __name__ == "__main__":
    anyio.run(main, json.load(sys.stdin))
