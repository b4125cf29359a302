"""How many vCPUs AWS lets this account run beside how many the pools declare, by the families that AWS counts together.

Asked of Service Quotas and EC2 in a worker thread when somebody looks; what AWS does not say is a sentence, never a number.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import anyio

from api.aws_identity import Clients, open_clients
from controller.decide.quota_need import quota_of
from schemas.credentials import AwsKeys
from schemas.frozen import Frozen
from schemas.lab import Demand, Lab
from schemas.lab_pool import Pool

MAY_LIMIT, MAY_TYPES = "servicequotas:GetServiceQuota", "ec2:DescribeInstanceTypes"
DENIED = "AWS does not tell these keys: they lack the permission {permission}; allow it, or look in its console"
KEYS = "AWS does not accept the keys ({code}); check them, or set others"
BUSY = "AWS is asked too often at the moment ({code}); load this again in a minute"
WHY = {
    "AccessDenied": DENIED,
    "AccessDeniedException": DENIED,
    "UnauthorizedOperation": DENIED,
    "AuthFailure": KEYS,
    "ExpiredTokenException": KEYS,
    "InvalidClientTokenId": KEYS,
    "InvalidSignatureException": KEYS,
    "RequestExpired": KEYS,
    "UnrecognizedClientException": KEYS,
    "RequestLimitExceeded": BUSY,
    "ThrottlingException": BUSY,
    "TooManyRequestsException": BUSY,
    "InvalidInstanceType": "AWS knows no such instance type in {region}; choose another for {pools}",
    "NoSuchResourceException": "AWS does not say: it knows no such quota in {region}; look in the console of Service Quotas",
    "OptInRequired": "region {region} is not enabled for this account; enable it in AWS's console",
}
OTHER = "AWS does not say ({code}); look in the console of Service Quotas"
NO_KEYS = "there are no AWS keys to ask with; set some"
AWAY = "AWS could not be asked in {region} ({code}); load this again, and see whether this machine gets there"


class Quota(Frozen):
    """vCPUs of a family in a region: what AWS allows and what the pools want at most; null: unknown, and `why` says so."""

    region: str
    family: str
    market: str
    limit: float | None
    wanted: int | None
    pools: list[str]
    why: str = ""

    @property
    def short(self) -> bool:
        """Whether the pools want more than there is."""
        return self.limit is not None and self.wanted is not None and self.wanted > self.limit


Key = tuple[str, str, str, str]
"""Region, family, market, code of the quota."""


def find_quotas(lab: Lab) -> dict[Key, list[str]]:
    """The quotas that the declared pools fall under by their first type, with the pools' names."""
    found: dict[Key, list[str]] = {}
    for name, pool in lab.pools.items():
        if key := _find_quota(pool):
            found.setdefault(key, []).append(name)
    return found


def _find_quota(pool: Pool) -> Key | None:
    family, code = quota_of(pool)
    return (pool.region, family, pool.market, code) if code else None


def count_most(lab: Lab, name: str) -> int:
    """The largest number of VMs that a pool's declaration asks for at any time, of courses the largest one beside it."""
    pool = lab.pools[name]
    usual = pool.size.max if isinstance(pool.size, Demand) else pool.size
    seats = [course.seats for course in lab.courses.values() if course.pool == name]
    return max([usual, *(window.size for window in pool.schedule)]) + max(seats, default=0)


Limit = tuple[float | None, str]
"""vCPUs, or None and why that is not known."""


async def read_limits(keys: AwsKeys | None, quotas: Collection[tuple[str, str]]) -> dict[tuple[str, str], Limit]:
    """What AWS allows, by region and code of the quota."""

    def ask() -> dict[tuple[str, str], Limit]:
        clients = open_clients(keys)
        return {(region, code): _read_limit(clients, region, code) for region, code in quotas}

    return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)


async def read_quotas(keys: AwsKeys | None, lab: Lab) -> list[Quota]:
    """One for each family and region that a pool needs."""
    return await anyio.to_thread.run_sync(_read, keys, lab, abandon_on_cancel=True)


def _read(keys: AwsKeys | None, lab: Lab) -> list[Quota]:
    clients = open_clients(keys)
    return [_read_one(clients, lab, key, names) for key, names in find_quotas(lab).items()]


def _read_one(clients: Clients, lab: Lab, key: Key, pools: list[str]) -> Quota:
    region, family, market, code = key
    most = Counter[str]()
    for name in pools:
        most[lab.pools[name].instance_type[0]] += count_most(lab, name)
    told = {"region": region, "pools": ", ".join(pools)}
    limit, why = _read_limit(clients, region, code)
    vcpus, also = _ask(lambda: _ask_vcpus(clients("ec2", region), list(most)), told | {"permission": MAY_TYPES})
    wanted = (
        sum(number * vcpus[kind] for kind, number in most.items()) if vcpus and vcpus.keys() >= most.keys() else None
    )
    why = "; ".join(dict.fromkeys(filter(None, (why, also))))
    return Quota(region=region, family=family, market=market, limit=limit, wanted=wanted, pools=pools, why=why)


def _read_limit(clients: Clients, region: str, code: str) -> Limit:
    told = {"region": region, "permission": MAY_LIMIT, "pools": "the pool"}
    return _ask(lambda: _ask_limit(clients("service-quotas", region), code), told)


def _ask(call: Callable[[], Any], told: Mapping[str, str]) -> tuple[Any, str]:
    """What AWS says, or None and why it does not, and what to do about it."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415 - see `open_clients`

    try:
        return call(), ""
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        return None, WHY.get(code, OTHER).format(code=code, **told)
    except NoCredentialsError:
        return None, NO_KEYS
    except BotoCoreError as error:
        return None, AWAY.format(code=type(error).__name__, **told)


def _ask_limit(client: Any, code: str) -> float:
    return float(client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])


def _ask_vcpus(client: Any, types: list[str]) -> dict[str, int]:
    found = client.describe_instance_types(InstanceTypes=types)["InstanceTypes"]
    return {str(one["InstanceType"]): int(one["VCpuInfo"]["DefaultVCpus"]) for one in found}
