"""What is to be done to instances outside Terraform: those that end, start or reboot, and that a reboot was asked of AWS.

Called by `controller.instance_orders`; what is written is inside a fenced transaction of the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from store.db import Connection, fetch

ENDING_INSTANCES = """
SELECT instance_id, region FROM instance
 WHERE (pool = %(pool)s OR (SELECT vm.pool FROM vm WHERE vm.hostname = instance.hostname) = %(pool)s)
   AND verdict = 'terminate' AND state NOT IN ('terminated', 'shutting-down') AND missing_since IS NULL
"""
STARTING_INSTANCES = """
SELECT v.instance_id, v.region FROM vm v JOIN instance i USING (instance_id)
 WHERE v.pool = %(pool)s AND v.phase = 'live' AND i.state = 'stopped' AND v.started_at > now() - interval '10 minutes'
"""
REBOOTING_INSTANCES = """
SELECT v.instance_id, v.region FROM vm v JOIN instance i USING (instance_id)
 WHERE v.pool = %(pool)s AND v.phase = 'live' AND i.state = 'running' AND i.missing_since IS NULL
   AND v.reboot_asked_at > coalesce(v.rebooted_at, '-infinity') AND v.reboot_asked_at > now() - interval '10 minutes'
"""

ByRegion = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class InstanceOrders:
    """By region, the ids of instances to terminate, to start and to reboot: decided or asked for, and not yet seen to be done."""

    ending: ByRegion
    starting: ByRegion
    rebooting: ByRegion


async def read_instance_orders(conn: Connection, pool: str) -> InstanceOrders:
    """All may be repeated."""
    orders = InstanceOrders({}, {}, {})
    for sql, by_region in (
        (ENDING_INSTANCES, orders.ending),
        (STARTING_INSTANCES, orders.starting),
        (REBOOTING_INSTANCES, orders.rebooting),
    ):
        for row in await fetch(conn, sql, {"pool": pool}):
            by_region.setdefault(row["region"], []).append(row["instance_id"])
    return orders


REBOOTED = "UPDATE vm SET rebooted_at = now() WHERE instance_id = ANY(%s) AND phase = 'live' RETURNING hostname"


async def record_rebooted(conn: Connection, instance_ids: Sequence[str]) -> list[str]:
    """AWS was told to reboot these; the host names of their VMs."""
    return [row["hostname"] for row in await fetch(conn, REBOOTED, (list(instance_ids),))]
