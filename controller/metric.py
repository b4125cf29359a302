"""What CloudWatch's alarm `converged` looks at: how many pools have not what they declare. Sent by the leader, where that is asked for."""

from datetime import UTC, datetime
from typing import Any

from controller.world import World
from store.db import fetch_one
from store.desired import read_in_force

SEND_S = 60.0
NAMESPACE, NAME = "LabLink", "pools_not_converged"

COUNT = """
SELECT count(*) AS pools FROM pool WHERE NOT removed AND coalesce((conditions->'Converged'->>'status')::boolean, false) IS FALSE
"""


async def send_metric(world: World) -> None:
    """Raises CloudError when AWS does not take it; the alarm then sees nothing, which is none of its troubles."""
    if not world.settings.metrics:
        return
    async with world.db.connection() as conn:
        in_force, row = await read_in_force(conn), await fetch_one(conn, COUNT)
    if in_force is None or row is None:
        return
    lab = in_force.lab
    where = [{"Name": "deployment", "Value": lab.deployment}, {"Name": "environment", "Value": lab.environment}]
    datum = {"MetricName": NAME, "Dimensions": where, "Timestamp": datetime.now(UTC), "Value": float(row["pools"])}

    def put(cloudwatch: Any) -> None:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])

    await world.ec2.use("cloudwatch", lab.region, f"sending the metric {NAME}", put)
