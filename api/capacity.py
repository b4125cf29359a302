"""`/api/v1/capacity`: where AWS has lately had no machine free, and until when each place is passed over."""

from datetime import datetime

from litestar import get
from litestar.params import FromQuery

from api.answers import Page
from api.parts import TheOutlook
from controller.decide.capacity import REMEMBERED
from schemas.frozen import Frozen
from schemas.snapshot import Snapshot


class CapacityPlace(Frozen):
    """A place that a pool would put VMs into. `zone` "" is any; both instants are null unless AWS refused it in the last hour."""

    pool: str
    region: str
    instance_type: str
    zone: str
    refused_at: datetime | None
    again_at: datetime | None


@get("/capacity")
async def get_capacity(outlook: TheOutlook, pool: FromQuery[str | None] = None) -> Page[CapacityPlace]:
    """The places of each pool in their order of preference, with the newest refusal of the last hour."""
    view = await outlook.read()
    places = list_places(view.snapshot)
    return Page(items=[place for place in places if pool in (None, place.pool)], next=None)


def list_places(seen: Snapshot) -> list[CapacityPlace]:
    refused = {(one.region, one.instance_type, one.zone): one.refused_at for one in seen.refusals}
    return [
        CapacityPlace(
            pool=name,
            region=pool.region,
            instance_type=instance_type,
            zone=zone,
            refused_at=(at := refused.get((pool.region, instance_type, zone))),
            again_at=at + REMEMBERED if at else None,
        )
        for name, pool in seen.lab.pools.items()
        for instance_type in pool.instance_type
        for zone in pool.zones or ("",)
    ]


ROUTES = [get_capacity]
