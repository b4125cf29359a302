"""What is done to a pool's instances outside Terraform: those that no state holds end, stopped ones in use start, some reboot.

Called by `controller.actuate` beside the runs of a round; every call to AWS may be repeated.
"""

from collections.abc import Sequence

from controller.actuator import Actuator
from controller.record import ACTOR
from store.event import write_event
from store.instance_orders import read_instance_orders, record_rebooted
from store.lease import fenced


async def act_on_instances(actuator: Actuator, pool: str) -> None:
    """Raises CloudError when AWS refuses."""
    async with actuator.db.connection() as conn:
        orders = await read_instance_orders(conn, pool)
    for region, instance_ids in orders.ending.items():
        await actuator.ec2.terminate(region, instance_ids)
    for region, instance_ids in orders.starting.items():
        await actuator.ec2.start(region, instance_ids)
    for region, instance_ids in orders.rebooting.items():
        await actuator.ec2.reboot(region, instance_ids)
        await _record_rebooted(actuator, instance_ids)


async def _record_rebooted(actuator: Actuator, instance_ids: Sequence[str]) -> None:
    """After the call: a controller that dies in between makes a second reboot, never none."""
    async with fenced(actuator.db, actuator.lease) as conn:
        for hostname in await record_rebooted(conn, instance_ids):
            await write_event(conn, ACTOR, f"vm/{hostname}", "VmRebooted", "AWS was told to reboot it, as was asked")
