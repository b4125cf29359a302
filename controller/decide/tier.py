"""What the allocator tier itself costs per hour, part by part: it is paid whether or not anybody uses a VM. Pure.

What depends on use (logs, Lambda, traffic) is estimated per VM that runs, by the constants below; everything else is as declared.
"""

from dataclasses import dataclass

from schemas.lab import Lab

from controller.decide.prices import HOURS_A_MONTH, Price, PriceList

LOG_GIB = 0.002  # that a VM's boot and container write to CloudWatch in an hour
LOG_CALLS = 120.0  # of the Lambda, an hour and VM: a batch each half minute
LOG_CALL_GIB_S = 0.125 * 0.5  # 128 MB for half a second
TRAFFIC_GIB = 0.05  # that the allocator sends for a VM in an hour: pages, held calls, commands
ROOT_GIB = 30  # the allocator's root disk, beside its data volume
DATABASE_GIB = 20
BALANCER_ADDRESSES = 4  # one in each zone of the default VPC; us-west-2 has four
BALANCER = ("load_balancer", "load_balancer_unit")  # one unit: held calls are many and quiet


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the bill: what, USD per hour (None: no price is known), and whose price it is."""

    name: str
    usd: float | None
    source: str


def tier_parts(lab: Lab, prices: PriceList, vms: int = 0) -> tuple[Part, ...]:
    """The allocator's parts with `vms` client VMs running."""
    region, allocator = lab.region, lab.allocator
    embedded = lab.database.mode == "embedded"
    disk = ROOT_GIB * allocator.replicas + (allocator.volume.size if embedded else 0)
    parts = [
        _part("instance", prices.instance(region, allocator.instance_type), allocator.replicas),
        _part("disk", prices.volume(region, allocator.volume.type), disk / HOURS_A_MONTH),
        _part("address", prices.part(region, "ipv4"), allocator.replicas),
    ]
    if lab.ssl.provider == "acm":
        parts += [_part(name.replace("_", " "), prices.part(region, name)) for name in BALANCER]
        parts.append(_part("load balancer addresses", prices.part(region, "ipv4"), BALANCER_ADDRESSES))
    if lab.database.mode == "rds":
        standby = 2 if lab.database.multi_az else 1
        parts.append(_part("database", prices.database(region, lab.database.instance_class), standby))
        parts.append(
            _part("database storage", prices.part(region, "database_storage"), standby * DATABASE_GIB / HOURS_A_MONTH)
        )
    days = lab.logs.cloudwatch_days
    kept = prices.part(region, "logs_kept").usd * LOG_GIB * 24 * days / HOURS_A_MONTH
    logs = prices.part(region, "logs")
    calls = (
        prices.part(region, "lambda").usd * LOG_CALLS
        + prices.part(region, "lambda_gib_s").usd * LOG_CALLS * LOG_CALL_GIB_S
    )
    traffic = prices.part(region, "traffic")
    return (
        *parts,
        Part("logs", vms * (logs.usd * LOG_GIB + kept), logs.source),
        Part("Lambda", vms * calls, prices.part(region, "lambda").source),
        Part("traffic", vms * traffic.usd * TRAFFIC_GIB, traffic.source),
    )


def tier_rate(lab: Lab, prices: PriceList, vms: int = 0) -> float:
    """USD per hour of all parts that have a price."""
    return sum(part.usd or 0.0 for part in tier_parts(lab, prices, vms))


def _part(name: str, price: Price | None, number: float = 1.0) -> Part:
    return Part(name, None, "unknown") if price is None else Part(name, price.usd * number, price.source)
