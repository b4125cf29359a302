"""Checks of the AWS account: who we are, the clock, the regions and their default network, and what these credentials may do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lablink.doctor.cloud import DENIED, REFUSALS, code_of
from lablink.doctor.finding import Finding, fine, mend, unknown
from lablink.doctor.patient import Patient
from schemas.lab import Lab

# AWS refuses a request whose time is five minutes off.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
CLOCK_MEND_S = 60.0
ROLE_ACTIONS = ("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRole", "iam:PassRole")


def check_credentials(patient: Patient) -> Iterator[Finding]:
    who = patient.cloud.client("sts", patient.lab.region).get_caller_identity()
    yield fine("credentials", f"account {who['Account']}, as {who['Arn']}")


def check_clock(patient: Patient) -> Iterator[Finding]:
    answer = patient.cloud.client("sts", patient.lab.region).get_caller_identity()
    theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    yield judge_clock("AWS", (datetime.now(UTC) - theirs).total_seconds())


def judge_clock(whose: str, ahead_s: float) -> Finding:
    said = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} that of {whose}"
    if abs(ahead_s) < CLOCK_MEND_S:
        return fine("clock", said)
    return mend("clock", said, "turn time synchronisation on: `sudo timedatectl set-ntp true`")


def check_regions(patient: Patient) -> Iterator[Finding]:
    home = patient.cloud.client("ec2", patient.lab.region)
    known = {one["RegionName"]: one["OptInStatus"] for one in home.describe_regions(AllRegions=True)["Regions"]}
    for region in patient.regions:
        if region not in known:
            yield mend("region", f"AWS has no region {region}", "correct `region` in the document")
        elif known[region] == "not-opted-in":
            yield mend(
                "region",
                f"{region} is not enabled for this account",
                f"`aws account enable-region --region-name {region}`",
            )
        else:
            yield _check_network(patient, region)


def _check_network(patient: Patient, region: str) -> Finding:
    found = patient.cloud.client("ec2", region).describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
    if found["Vpcs"]:
        return fine("region", f"{region} is enabled and has its default VPC")
    return mend("region", f"{region} has no default VPC", f"`aws ec2 create-default-vpc --region {region}`")


def check_permissions(patient: Patient) -> Iterator[Finding]:
    """What is made in EC2 is tried as a dry run; IAM knows none, so there AWS is asked to judge the policies."""
    for region in patient.regions:
        yield from _try_making(patient, region)
    yield _judge_roles(patient)


def _try_making(patient: Patient, region: str) -> Iterator[Finding]:
    allowed = []
    for action, attempt in _attempts(patient, region).items():
        try:
            attempt()
        except REFUSALS as error:
            code = code_of(error)
            if code == "DryRunOperation":
                allowed.append(action)
            elif code in DENIED:
                advice = f"allow {action}: infrastructure/iam.tf shows the policy"
                yield mend("permissions", f"{action} is denied in {region}", advice)
            else:
                said = " ".join(str(error).split())[:200]
                yield unknown("permissions", f"{action} could not be tried in {region}: {said}")
    if allowed:
        yield fine("permissions", f"dry runs in {region} are allowed: {', '.join(allowed)}")


def _attempts(patient: Patient, region: str) -> dict[str, Callable[[], object]]:
    """Dry runs, tagged as what they stand for: the allocator's role may make nothing without its tags."""
    lab, ec2 = patient.lab, patient.cloud.client("ec2", region)
    amis = [pool.literal_ami for pool in lab.pools.values() if pool.region == region and pool.literal_ami]
    common = {"DryRun": True, "MinCount": 1, "MaxCount": 1}
    group = {"GroupName": f"{lab.deployment}-doctor-{lab.environment}", "Description": "a dry run"}
    attempts: dict[str, Callable[[], object]] = {
        "ec2:CreateSecurityGroup": lambda: ec2.create_security_group(
            DryRun=True, **group, TagSpecifications=_tags(lab, "security-group")
        )
    }
    if amis:
        tags = _tags(lab, "instance") + _tags(lab, "volume")
        attempts["ec2:RunInstances"] = lambda: ec2.run_instances(**common, ImageId=amis[0], TagSpecifications=tags)
    return attempts


def _tags(lab: Lab, kind: str) -> list[dict[str, object]]:
    tags = {"lablink:deployment": lab.deployment, "lablink:environment": lab.environment}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def _judge_roles(patient: Patient) -> Finding:
    lab, cloud = patient.lab, patient.cloud
    who = cloud.client("sts", lab.region).get_caller_identity()
    partition = who["Arn"].split(":")[1]
    source = role_of(who["Arn"])
    target = f"arn:{partition}:iam::{who['Account']}:role/{lab.deployment}-doctor-{lab.environment}"
    boundary = f"arn:{partition}:iam::{who['Account']}:policy/{lab.deployment}-client-boundary-{lab.environment}"
    try:
        answer = cloud.client("iam", lab.region).simulate_principal_policy(
            PolicySourceArn=source,
            ActionNames=list(ROLE_ACTIONS),
            ResourceArns=[target],
            ContextEntries=[
                _context("iam:PermissionsBoundary", boundary),
                _context("iam:PassedToService", "ec2.amazonaws.com"),
            ],
        )
    except REFUSALS as error:
        return cloud.explain("permissions", error)
    denied = [one["EvalActionName"] for one in answer["EvaluationResults"] if one["EvalDecision"] != "allowed"]
    if denied:
        said = f"{source} may not do {', '.join(denied)} with the roles of client VMs"
        return mend(
            "permissions", said, f"allow it on {target.replace('doctor', '*')}: infrastructure/iam.tf shows the policy"
        )
    return fine("permissions", f"the roles of client VMs may be made and ended: {', '.join(ROLE_ACTIONS)}")


def _context(key: str, value: str) -> dict[str, object]:
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def role_of(arn: str) -> str:
    """The role behind a session's ARN, which policies belong to; any other ARN as it is."""
    head, _, name = arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{name.split('/')[0]}" if name else arn
