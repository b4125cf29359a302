"""Checks of what stands around the allocator: its name and who is asked for it, its certificate, the buckets and the lock."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from lablink.doctor.cloud import code_of
from lablink.doctor.finding import Finding, fine, mend, unknown
from lablink.doctor.patient import Patient
from schemas.lab import Lab

RENEWED_BEFORE = timedelta(days=14)  # Let's Encrypt's 90 days are renewed a month before
ABSENT = ("404", "NoSuchBucket", "ResourceNotFoundException", "NoSuchHostedZone")


def check_dns(patient: Patient) -> Iterator[Finding]:
    dns = patient.lab.dns
    if not dns.enabled:
        yield fine("DNS", "no name is declared (dns.enabled): people use the address")
    elif dns.terraform_managed:
        yield _check_zone(patient)
    elif patient.resolver is None:
        yield unknown("DNS", f"{dns.domain} cannot be looked up here")
    else:
        yield _check_address(patient.resolver, dns.domain)


def _check_address(resolver: Resolver, domain: str) -> Finding:
    try:
        found = sorted(str(one) for one in resolver.resolve(domain, "A"))
    except (NXDOMAIN, NoAnswer):
        advice = "point it at `public_address` (with acm: a CNAME at `load_balancer`) of `lablink infra output`"
        return mend("DNS", f"{domain} has no address", advice)
    except DNSException as error:
        return unknown("DNS", f"{domain} could not be looked up: {error}", "try again")
    return fine("DNS", f"{domain} is {', '.join(found)}; compare with `lablink infra output`")


def _check_zone(patient: Patient) -> Finding:
    """Whether the world asks the name servers of the zone that Terraform writes to."""
    zone = _find_zone(patient)
    if zone is None and patient.lab.dns.create_zone:
        return fine("DNS", f"the zone {patient.lab.dns.domain} is not made yet", "`lablink infra apply` makes it")
    if zone is None:
        said = f"there is no public hosted zone for {patient.lab.dns.domain} in Route 53"
        return mend("DNS", said, "make one, set dns.create_zone, or dns.terraform_managed: false")
    name, servers = zone
    if patient.resolver is None:
        return unknown("DNS", f"the zone {name} is there; whether the world asks for it cannot be checked here")
    try:
        asked = {str(one.target).rstrip(".").lower() for one in patient.resolver.resolve(name, "NS")}
    except (NXDOMAIN, NoAnswer):
        asked = set()
    except DNSException as error:
        return unknown("DNS", f"{name} could not be looked up: {error}", "try again")
    if asked & servers:
        return fine("DNS", f"{name} is delegated to its zone ({', '.join(sorted(asked))})")
    told = ", ".join(sorted(asked)) or "nobody"
    advice = f"give the registrar these name servers: {', '.join(sorted(servers))}"
    return mend("DNS", f"the world asks {told} for {name}, not its zone", advice)


def _find_zone(patient: Patient) -> tuple[str, set[str]] | None:
    """Name and name servers; found as `infrastructure/dns.tf` finds it."""
    dns, route53 = patient.lab.dns, patient.cloud.client("route53", patient.lab.region)
    number = dns.zone_id or _look_up_zone(route53, dns.domain, made=dns.create_zone)
    if not number:
        return None
    try:
        found = route53.get_hosted_zone(Id=number)
    except ClientError as error:
        if code_of(error) in ABSENT:
            return None
        raise
    servers = {server.rstrip(".").lower() for server in found.get("DelegationSet", {}).get("NameServers", [])}
    return found["HostedZone"]["Name"].rstrip("."), servers


def _look_up_zone(route53: Any, domain: str, *, made: bool) -> str:
    labels = domain.split(".")
    name = domain if made or len(labels) <= 2 else ".".join(labels[1:])
    listed = route53.list_hosted_zones_by_name(DNSName=name, MaxItems="10")["HostedZones"]
    return next(
        (zone["Id"] for zone in listed if zone["Name"].rstrip(".") == name and not zone["Config"]["PrivateZone"]), ""
    )


def check_certificate(patient: Patient) -> Iterator[Finding]:
    provider = patient.lab.ssl.provider
    if provider == "none":
        yield fine("certificate", "no TLS is declared (ssl.provider none)", "for more than a first try, declare it")
    elif provider == "acm":
        yield _check_acm(patient)
    elif patient.resolver is None:
        yield unknown("certificate", f"{patient.lab.dns.domain} cannot be reached from here")
    else:
        yield _check_served(patient.lab, patient.tls_port)


def _check_acm(patient: Patient) -> Finding:
    arn, domain = patient.lab.ssl.certificate_arn, patient.lab.dns.domain
    try:
        found = patient.cloud.client("acm", arn.split(":")[3]).describe_certificate(CertificateArn=arn)["Certificate"]
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return mend("certificate", f"ACM has no {arn}", "correct ssl.certificate_arn, or ask ACM for a certificate")
    if arn.split(":")[3] != patient.lab.region:
        said = f"the certificate is in {arn.split(':')[3]}, the load balancer in {patient.lab.region}"
        return mend("certificate", said, f"ask ACM for one in {patient.lab.region}")
    if found["Status"] != "ISSUED":
        return mend("certificate", f"the certificate of {found['DomainName']} is {found['Status']}", _validation(found))
    names = found.get("SubjectAlternativeNames") or [found["DomainName"]]
    if domain and not any(covers(name, domain) for name in names):
        return mend("certificate", f"the certificate is for {', '.join(names)}, not {domain}", "ask ACM for one")
    return judge_expiry(", ".join(names), found.get("NotAfter"), "ACM renews it while its DNS record stays")


def _validation(found: Mapping[str, Any]) -> str:
    records = [one["ResourceRecord"] for one in found.get("DomainValidationOptions", []) if "ResourceRecord" in one]
    told = "; ".join(f"{record['Name']} {record['Type']} {record['Value']}" for record in records)
    return f"set its DNS record: {told}" if told else "see what ACM says of it"


def covers(name: str, domain: str) -> bool:
    """A wildcard stands for one label (RFC 6125, 6.4.3)."""
    return name == domain or (name.startswith("*.") and domain.partition(".")[2] == name[2:])


def judge_expiry(names: str, until: datetime | None, renewal: str) -> Finding:
    if until is None:
        return fine("certificate", f"{names}: issued")
    left = until - datetime.now(UTC)
    said = f"{names}: until {until:%Y-%m-%d}"
    return fine("certificate", said) if left > RENEWED_BEFORE else mend("certificate", said, renewal)


def _check_served(lab: Lab, port: int) -> Finding:
    """What Caddy, or Cloudflare before it, shows to who asks for the name."""
    domain = lab.dns.domain
    if lab.ssl.staging:
        return unknown(
            "certificate", "Let's Encrypt's staging certificates are trusted by nobody", "set ssl.staging: false"
        )
    try:
        with (
            socket.create_connection((domain, port), timeout=5) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=domain) as wrapped,
        ):
            shown = wrapped.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        advice = "look at Caddy's words in the allocator's log group; ports 80 and 443 must be reached from everywhere"
        return mend("certificate", f"{domain} shows a certificate that does not hold: {error.verify_message}", advice)
    except OSError as error:
        return unknown(
            "certificate", f"nobody answers at {domain}:{port} ({error})", "look again after `lablink infra apply`"
        )
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    return judge_expiry(domain, until, "look at Caddy's words in the allocator's log group")


def check_buckets(patient: Patient) -> Iterator[Finding]:
    lab = patient.lab
    if lab.state.backend == "s3":
        yield _check_bucket(patient, "state bucket", lab.state.bucket)
    else:
        where = "in the database" if lab.state.backend == "database" else "on the allocator's disk"
        yield fine("state bucket", f"none is needed: states are {where}")
    if lab.state.lock == "dynamodb":
        yield _check_lock_table(patient, f"{lab.deployment}-lock-{lab.environment}")
    else:
        kind = "a file beside each state" if lab.state.backend == "s3" else "the states' own"
        yield fine("state lock", f"no table is needed: the lock is {kind}")
    if lab.backup.bucket:
        yield _check_bucket(patient, "backup bucket", lab.backup.bucket)
    else:
        yield fine("backup bucket", "no backups are declared", "set backup.bucket before people depend on it")


def _check_bucket(patient: Patient, check: str, bucket: str) -> Finding:
    s3 = patient.cloud.client("s3", patient.lab.region)
    try:
        s3.head_bucket(Bucket=bucket)
        versions = s3.get_bucket_versioning(Bucket=bucket).get("Status", "off")
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return mend(check, f"there is no bucket {bucket}", "`lablink infra bootstrap` makes it")
    if versions != "Enabled":
        advice = f"`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`"
        return mend(check, f"{bucket} is there; it keeps no versions", advice)
    return fine(check, f"{bucket} is there and keeps versions")


def _check_lock_table(patient: Patient, name: str) -> Finding:
    try:
        table = patient.cloud.client("dynamodb", patient.lab.region).describe_table(TableName=name)["Table"]
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return mend("state lock", f"there is no table {name}", "`lablink infra bootstrap` makes it")
    keys = [one["AttributeName"] for one in table["KeySchema"]]
    if keys != ["LockID"]:
        said = f"the key of table {name} is {', '.join(keys)}, not LockID"
        return mend("state lock", said, "delete the table; `lablink infra bootstrap` makes a right one")
    return fine("state lock", f"table {name} is {table['TableStatus']}")
