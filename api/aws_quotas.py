"""How many vCPUs AWS lets this account run beside how many the pools declare, by the families that AWS counts together.

Asked of Service Quotas and EC2 in a worker thread when somebody looks; what AWS does not say is a sentence, never a number.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import anyio

from api.aws_identity import Clients, open_clients
from schemas.credentials import AwsKeys
from schemas.frozen import Frozen
from schemas.lab import Demand, Lab
from schemas.lab_pool import Pool

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html: family, on-demand quota, spot quota
FAMILIES = (
    (r"(g|gr|vt)\d", "G and VT", "L-DB2E81BA", "L-3819A6DF"),
    (r"p[2-4]", "P2 to P4", "L-417A185B", "L-7212CCBC"),
    (r"p\d", "P5 and newer", "L-417A185B", "L-C4BD4855"),
    (r"inf\d", "Inf", "L-1945791B", "L-B5D1601B"),
    (r"trn\d", "Trn", "L-2C3B7624", "L-6B0D517C"),
    (r"dl\d", "DL", "L-6E869C2A", "L-85EED4F7"),
    (r"f\d", "F", "L-74FC7D96", "L-88CF9481"),
    (r"x\d", "X", "L-7295265B", "L-E3A00192"),
    (r"(a|c|d|h|i|im|is|m|r|t|z)\d", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08"),
)
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
    for pattern, family, on_demand, spot in FAMILIES:
        if re.match(pattern, pool.instance_type[0]):
            return pool.region, family, pool.market, spot if pool.market == "spot" else on_demand
    return None


def count_most(lab: Lab, name: str) -> int:
    """The largest number of VMs that a pool's declaration asks for at any time, of courses the largest one beside it."""
    pool = lab.pools[name]
    usual = pool.size.max if isinstance(pool.size, Demand) else pool.size
    seats = [course.seats for course in lab.courses.values() if course.pool == name]
    return max([usual, *(window.size for window in pool.schedule)]) + max(seats, default=0)


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
    limit, why = _ask(lambda: _ask_limit(clients("service-quotas", region), code), told | {"permission": MAY_LIMIT})
    vcpus, also = _ask(lambda: _ask_vcpus(clients("ec2", region), list(most)), told | {"permission": MAY_TYPES})
    wanted = (
        sum(number * vcpus[kind] for kind, number in most.items()) if vcpus and vcpus.keys() >= most.keys() else None
    )
    why = "; ".join(dict.fromkeys(filter(None, (why, also))))
    return Quota(region=region, family=family, market=market, limit=limit, wanted=wanted, pools=pools, why=why)


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
