"""Checks of what the declared pools need of AWS: images, types on offer in zones, vCPU quotas, their SSH keys."""

import re
from collections import defaultdict
from collections.abc import Iterator

from botocore.exceptions import ClientError

from lablink.doctor.cloud import code_of
from lablink.doctor.finding import Finding, fine, mend, unknown
from lablink.doctor.patient import Patient
from schemas.lab import Lab, Pool
from schemas.lab_pool import Demand

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html: by letter of the type, the codes of the
# quotas for running on-demand instances and for spot requests, both in vCPUs
STANDARD = ("L-1216C47A", "L-34B43A08")
QUOTAS = {
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "vt": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "x": ("L-7295265B", "L-E3A00192"),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "dl": ("L-6E869C2A", "L-85EED4F7"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
} | dict.fromkeys("acdhimrtz", STANDARD)
FAMILY = re.compile(r"([a-z]+)\d")
NO_SUCH_TYPE = "InvalidInstanceType"
NO_SUCH_AMI = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "ParameterNotFound", "InvalidAMIID.Unavailable")


def check_amis(patient: Patient) -> Iterator[Finding]:
    for name, pool in patient.lab.pools.items():
        try:
            yield _check_ami(patient, name, pool)
        except ClientError as error:
            if code_of(error) not in NO_SUCH_AMI:
                raise
            said = f"{pool.declared_ami} of pool {name} does not exist in {pool.region}, or is not shared with this account"
            yield mend("AMI", said, f"correct pools.{name}.ami")


def _check_ami(patient: Patient, name: str, pool: Pool) -> Finding:
    ami = pool.literal_ami
    if ami is None:
        found = patient.cloud.client("ssm", pool.region).get_parameter(Name=pool.declared_ami)
        ami = str(found["Parameter"]["Value"])
    images = patient.cloud.client("ec2", pool.region).describe_images(ImageIds=[ami])["Images"]
    state = images[0]["State"] if images else "not there"
    if state == "available":
        return fine("AMI", f"{ami} of pool {name} is available in {pool.region}")
    return mend("AMI", f"{ami} of pool {name} is {state} in {pool.region}", f"correct pools.{name}.ami")


def check_types(patient: Patient) -> Iterator[Finding]:
    """Each type of a pool in each of its zones; none on offer anywhere must be mended, a gap is worth knowing."""
    lab = patient.lab
    yield _check_offer(patient, "the allocator", lab.region, (lab.allocator.instance_type,), ())
    for name, pool in lab.pools.items():
        yield _check_offer(patient, f"pool {name}", pool.region, pool.instance_type, pool.zones)


def _check_offer(patient: Patient, whose: str, region: str, types: tuple[str, ...], zones: tuple[str, ...]) -> Finding:
    found: dict[str, set[str]] = defaultdict(set)
    ec2 = patient.cloud.client("ec2", region)
    filters = [{"Name": "instance-type", "Values": list(types)}]
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=filters
    )
    for one in (one for page in pages for one in page["InstanceTypeOfferings"]):
        found[one["InstanceType"]].add(one["Location"])
    usable = {kind: sorted(found[kind] & set(zones) if zones else found[kind]) for kind in types}
    if not any(usable.values()):
        where = ", ".join(zones) or region
        return mend("types", f"{', '.join(types)} of {whose}: not on offer in {where}", "name another type or zone")
    told = "; ".join(f"{kind} in {', '.join(there) or 'none of its zones'}" for kind, there in usable.items())
    return fine("types", f"{whose}: {told}")


def check_quotas(patient: Patient) -> Iterator[Finding]:
    """The vCPUs of each pool at its largest, by region and quota, beside what the account may run there."""
    wanted: dict[tuple[str, str], int] = defaultdict(int)
    for region, kinds, number, spot in _wants(patient.lab):
        vcpus = _read_vcpus(patient, region, kinds)
        needs: dict[str, int] = {}
        for kind in kinds:  # one of them in the end, so the dearest of each quota counts
            if (code := quota_of(kind, spot=spot)) and kind in vcpus:
                needs[code] = max(needs.get(code, 0), vcpus[kind] * number)
        for code, need in needs.items():
            wanted[region, code] += need
    for (region, code), need in wanted.items():
        yield _check_quota(patient, region, code, need)


def _wants(lab: Lab) -> Iterator[tuple[str, tuple[str, ...], int, bool]]:
    """Region, types, how many at most, whether spot."""
    yield lab.region, (lab.allocator.instance_type,), lab.allocator.replicas, False
    for name, pool in lab.pools.items():
        seats = sum(course.seats for course in lab.courses.values() if course.pool == name)
        yield pool.region, pool.instance_type, largest(pool) + seats, pool.market == "spot"


def largest(pool: Pool) -> int:
    """The most VMs at once, courses left out."""
    declared = pool.size.max if isinstance(pool.size, Demand) else pool.size
    return max([declared, *(window.size for window in pool.schedule)]) + pool.update.surge


def quota_of(kind: str, *, spot: bool) -> str | None:
    """None: a family whose quota is another one (High Memory, HPC, Mac)."""
    letters = FAMILY.match(kind)
    codes = QUOTAS.get(letters[1]) if letters else None
    return codes[spot] if codes else None


def _read_vcpus(patient: Patient, region: str, kinds: tuple[str, ...]) -> dict[str, int]:
    """Of those that the region knows; the others are the business of another check."""
    found = {}
    for kind in kinds:
        try:
            (one,) = patient.cloud.client("ec2", region).describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
        except ClientError as error:
            if code_of(error) != NO_SUCH_TYPE:
                raise
            continue
        found[kind] = int(one["VCpuInfo"]["DefaultVCpus"])
    return found


def _check_quota(patient: Patient, region: str, code: str, need: int) -> Finding:
    client = patient.cloud.client("service-quotas", region)
    try:
        quota = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    except ClientError as error:
        if code_of(error) != "NoSuchResourceException" or patient.cloud.played:
            return patient.cloud.explain("quotas", error)
        return unknown("quotas", f"{region} has no quota {code}; {need} vCPUs are declared", "see Service Quotas")
    said = (
        f"{region}: {need} of {quota['Value']:.0f} vCPUs of '{quota.get('QuotaName', code)}' when all is at its largest"
    )
    if need <= quota["Value"]:
        return fine("quotas", said)
    ask = f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 --quota-code {code}"
    return mend("quotas", said, f"`{ask} --desired-value {need}`, or lower the sizes; AWS takes days")


def check_pool_keys(patient: Patient) -> Iterator[Finding]:
    """The SSH key of each pool in EC2: made with the pool's first VM."""
    for name, pool in patient.lab.pools.items():
        key = f"{patient.lab.deployment}-{name}-{patient.lab.environment}"
        filters = [{"Name": "key-name", "Values": [key]}]
        found = patient.cloud.client("ec2", pool.region).describe_key_pairs(Filters=filters)["KeyPairs"]
        there = (
            f"{key} is in {pool.region}" if found else f"{key} is not in {pool.region} yet: the first apply makes it"
        )
        yield fine("SSH key", there)
