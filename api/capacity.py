"""`/api/v1/capacity`: where AWS has lately refused VMs and why, and until when each place is passed over; what the week needs of quotas."""

from datetime import datetime
from itertools import product

from litestar import get
from litestar.params import FromQuery

from api.answers import Page
from api.aws_quotas import Limit, read_limits
from api.credentials import read_keys_in_force
from api.parts import AnyDb, TheCipher, TheOutlook
from controller.decide.capacity import remembered_until
from controller.decide.quota_need import QuotaNeed, find_needs
from schemas.frozen import Frozen
from schemas.snapshot import Snapshot


class CapacityPlace(Frozen):
    """A place that a pool would put VMs into. `zone` "" is any; `cause` and both instants are null unless AWS refused it in the last hour.

    `cause`: AWS had no such machine free (`capacity`), or the account may have no more (`quota`).
    """

    pool: str
    region: str
    market: str
    instance_type: str
    zone: str
    cause: str | None
    refused_at: datetime | None
    again_at: datetime | None


@get("/capacity")
async def get_capacity(outlook: TheOutlook, pool: FromQuery[str | None] = None) -> Page[CapacityPlace]:
    """The places of each pool in their order of preference, with the newest refusal of the last hour."""
    view = await outlook.read()
    places = list_places(view.snapshot)
    return Page(items=[place for place in places if pool in (None, place.pool)], next=None)


def list_places(seen: Snapshot) -> list[CapacityPlace]:
    by_place = {(one.region, one.market, one.instance_type, one.zone): one for one in seen.refusals}
    found = []
    for name, pool in seen.lab.pools.items():
        for instance_type, zone in product(pool.instance_type, pool.zones or ("",)):
            keys = ((pool.region, pool.market, instance_type, each) for each in {zone, ""})
            refusals = [by_place[key] for key in keys if key in by_place]
            refusal = max(refusals, key=remembered_until, default=None)
            found.append(
                CapacityPlace(
                    pool=name,
                    region=pool.region,
                    market=pool.market,
                    instance_type=instance_type,
                    zone=zone,
                    cause=refusal.cause if refusal else None,
                    refused_at=refusal.refused_at if refusal else None,
                    again_at=remembered_until(refusal) if refusal else None,
                )
            )
    return found


UNKNOWN: Limit = (None, "its quota is not known here")


class QuotaNeeded(Frozen):
    """vCPUs that the week may ask of one of the account's quotas; `code` is its code in Service Quotas, empty where it is not known here.

    `limit`: vCPUs that AWS allows now, or null and `why` that is not known. `used_up`: AWS has lately refused a VM of these pools for want
    of quota.
    """

    region: str
    market: str
    quota: str
    code: str
    vcpus: int
    pools: list[str]
    used_up: bool
    limit: float | None
    why: str


@get("/capacity/week")
async def get_needs(outlook: TheOutlook, db: AnyDb, cipher: TheCipher) -> Page[QuotaNeeded]:
    """What the declared sizes, windows and courses of the next seven days need at most, beside what AWS allows now (asked of Service Quotas)."""
    seen = (await outlook.read()).snapshot
    short = {place.pool for place in list_places(seen) if place.cause == "quota"}
    found = find_needs(seen.lab, seen.now)
    keys, _ = await read_keys_in_force(db, cipher)
    limits = await read_limits(keys, {(one.region, one.code) for one in found if one.code})
    needs = [
        _weigh(need, limits.get((need.region, need.code), UNKNOWN), bool(short & set(need.pools))) for need in found
    ]
    return Page(items=needs, next=None)


def _weigh(need: QuotaNeed, limit: Limit, used_up: bool) -> QuotaNeeded:
    return QuotaNeeded(
        region=need.region,
        market=need.market,
        quota=need.quota,
        code=need.code,
        vcpus=need.vcpus,
        pools=list(need.pools),
        used_up=used_up,
        limit=limit[0],
        why=limit[1],
    )


ROUTES = [get_capacity, get_needs]
