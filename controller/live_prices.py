"""Asks AWS's Price List API what the declared types cost, and keeps the answers with their date. Failing costs nothing but freshness.

A handler of the controller's runtime, on a slow timer of its own; prices that are declared or that AWS does not tell come from
`prices:` or the table.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from controller.ec2 import Ec2
from controller.errors import CloudError
from controller.world import World
from schemas.lab import Lab
from schemas.price import LivePrice
from store.desired import read_in_force
from store.lease import fenced
from store.usage import keep_live_price, read_live_prices

log = structlog.get_logger()

FRESH_FOR = timedelta(days=1)
LOOK_S = 6 * 3600.0
LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


async def refresh_prices(world: World) -> None:
    """Ask for each type that is declared without a price and whose last answer is older than a day."""
    async with world.db.connection() as conn:
        in_force = await read_in_force(conn)
        known = {(one.region, one.instance_type): one.asked_at for one in await read_live_prices(conn)}
    if in_force is None:
        return
    now = datetime.now(UTC)
    for kind in wanted_prices(in_force.lab):
        if now - known.get(kind, now - FRESH_FOR) < FRESH_FOR:
            continue
        try:
            price = await ask_price(world.ec2, *kind)
        except (CloudError, ValueError) as error:
            log.info("AWS tells no prices now; those of the table or the last ones told count", error=str(error))
            return
        if price:
            async with fenced(world.db, world.lease) as conn:
                await keep_live_price(conn, price)


def wanted_prices(lab: Lab) -> list[tuple[str, str]]:
    """Region and type of every VM and of the allocator, but for those that the document prices itself."""
    kinds = {(pool.region, name) for pool in lab.pools.values() for name in pool.instance_type}
    kinds.add((lab.region, lab.allocator.instance_type))
    return sorted(kind for kind in kinds if not {kind[1], "/".join(kind)} & lab.prices.keys())


async def ask_price(ec2: Ec2, region: str, instance_type: str) -> LivePrice | None:
    """The on-demand Linux price; None where AWS lists none. Raises CloudError, and ValueError for what is no price."""
    products = await ec2.read_price_list({"regionCode": region, "instanceType": instance_type, **LINUX})
    usd = next((usd for product in products if (usd := read_usd(json.loads(product)))), None)
    if usd is None:
        return None
    return LivePrice(region=region, instance_type=instance_type, usd=usd, asked_at=datetime.now(UTC))


def read_usd(product: Any) -> float | None:
    """The hourly price of one product of the list (https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file.html)."""
    try:
        terms = product["terms"]["OnDemand"].values()
        prices = [price for term in terms for price in term["priceDimensions"].values() if price["unit"] == "Hrs"]
        return next((usd for price in prices if (usd := float(price["pricePerUnit"]["USD"])) > 0), None)
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"a price of AWS has an unknown shape ({error})") from None
