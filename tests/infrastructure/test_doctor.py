"""`lablink doctor` in good health and in bad: against moto, small servers for what moto does not play, and a real database."""

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import dns.message
import dns.rrset
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dns.resolver import Resolver

from lablink.doctor import account, machine, pools, tier
from lablink.doctor.cloud import Cloud as Doors
from lablink.doctor.command import CHECKS
from lablink.doctor.finding import Finding, Verdict
from lablink.doctor.patient import Patient
from lablink.keys import write_keys
from sandbox.postgres import create_database, drop_database
from schemas.document import parse_lab
from tests.infrastructure.world import REGION, Cloud
from tests.unit.cli import Done, run_cli

QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
AN_AMI = "ami-12c6146b"  # one that moto knows
AWAY = "eu-north-1"
NAMES = {"credentials", "state lock", "backup bucket", *(name for name, _, _ in CHECKS)}


def examine_all(folder: Path, document: dict[str, Any], environ: dict[str, str]) -> tuple[Done, dict[str, list[Any]]]:
    """The command as a person calls it with `--json`; its findings by check."""
    path = folder / "lablink.yaml"
    path.write_text(json.dumps(document))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    place = {"LABLINK_DATA": str(folder / "data"), **QUIET}
    with patch.dict(os.environ, kept | place | environ, clear=True):
        done = run_cli("doctor", "--file", str(path), "--json")
    found: dict[str, list[Any]] = {}
    assert done.out, done.err
    for one in json.loads(done.out):
        found.setdefault(one["check"], []).append(one)
    return done, found


def verdicts(found: dict[str, list[Any]], check: str) -> set[str]:
    return {one["verdict"] for one in found[check]}


def test_with_nothing_there_each_check_says_so_in_a_sentence(tmp_path: Path) -> None:
    nowhere = {"PATH": "/nowhere", "LABLINK_DATABASE_DSN": "postgresql://127.0.0.1:1/none"}
    done, found = examine_all(tmp_path, {"pools": {"client": {}}}, nowhere)
    assert (done.status, done.err) == (1, "")
    assert set(found) == NAMES
    broken = {name for name in found if verdicts(found, name) == {"mend"}}
    assert broken == {"credentials", "database", "Terraform"}
    assert all(one["advice"] for ones in found.values() for one in ones if one["verdict"] == "mend")
    assert [one["said"] for one in found["quotas"] + found["keys"]] == ["AWS was not asked"] * 2


def test_a_deployment_in_good_health(cloud: Cloud, tmp_path: Path, dsn: str) -> None:
    write_keys(tmp_path / "keys", None, "")
    cloud.client("s3").create_bucket(Bucket="well", CreateBucketConfiguration={"LocationConstraint": REGION})
    cloud.client("s3").put_bucket_versioning(Bucket="well", VersioningConfiguration={"Status": "Enabled"})
    document = {
        "pools": {"client": {"ami": {REGION: AN_AMI}}},
        "state": {"backend": "s3", "bucket": "well"},
        "backup": {"bucket": "well"},
    }
    place = {"LABLINK_KEYS": str(tmp_path / "keys"), "LABLINK_DATABASE_DSN": dsn}
    done, found = examine_all(tmp_path, document, cloud.environment | place)
    assert (done.status, [one for ones in found.values() for one in ones if one["verdict"] == "mend"]) == (0, [])
    assert {name for name in found if "unknown" in verdicts(found, name)} == {"permissions", "quotas"}
    assert "cannot be checked here" in found["quotas"][0]["said"]


def drop_default_vpc(cloud: Cloud) -> None:
    """As careful admins do."""
    make: Any = boto3.client
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    ec2 = make("ec2", endpoint_url=cloud.url, region_name=AWAY, **keys)
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])


def test_what_is_wrong_is_named_with_what_to_do(cloud: Cloud, tmp_path: Path) -> None:
    drop_default_vpc(cloud)
    pending = cloud.client("acm").request_certificate(DomainName="other.example.org")["CertificateArn"]
    document = {
        "deployment": "ill",
        "pools": {
            "client": {"ami": {REGION: "ami-00000000000000000"}, "zones": ["us-west-2z"]},
            "away": {"region": AWAY, "ami": {AWAY: "ami-00000000000000000"}},
        },
        "state": {"backend": "s3", "bucket": "no-such-states", "lock": "dynamodb"},
        "backup": {"bucket": "no-such-backups"},
        "dns": {"enabled": True, "domain": "lab.nobody.example"},
        "ssl": {"provider": "acm", "certificate_arn": pending},
    }
    (tmp_path / "keys").mkdir()
    done, found = examine_all(tmp_path, document, cloud.environment | {"LABLINK_KEYS": str(tmp_path / "keys")})
    assert (done.status, done.err) == (1, "")
    wrong = {name for name in found if "mend" in verdicts(found, name)}
    expected = {"region", "AMI", "types", "keys", "DNS", "certificate", "state bucket", "state lock", "backup bucket"}
    assert wrong >= expected
    assert "lablink infra bootstrap" in found["state bucket"][0]["advice"]
    assert {"credentials", "clock", "disk", "Terraform"} & wrong == set()


@contextmanager
def answering(respond: Any) -> Iterator[str]:
    """A server whose answer to each POST is `respond(headers, body)`: type and text."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            kind, text = respond(dict(self.headers), body)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def a_patient(cloud: Cloud, document: dict[str, Any], resolver: Resolver | None = None, port: int = 443) -> Patient:
    lab = parse_lab(json.dumps(document)).lab
    return Patient(lab, cloud.environment, Path("/tmp"), Doors(cloud.url), resolver, port)


def test_quotas_are_compared_with_the_pools_at_their_largest(cloud: Cloud) -> None:
    def respond(_headers: dict[str, str], body: str) -> tuple[str, str]:
        value = {"L-DB2E81BA": 40.0, "L-1216C47A": 5.0}[json.loads(body)["QuotaCode"]]
        return "application/x-amz-json-1.1", json.dumps({"Quota": {"QuotaName": "vCPUs", "Value": value}})

    document = {
        "pools": {
            "gpu": {"size": 9},  # and one more while replacing: 10 × 4 vCPUs
            "plain": {"size": {"max": 2}, "instance_type": "t3.large"},  # 3 × 2, and the allocator's 2
        }
    }
    with (
        answering(respond) as url,
        patch.dict(os.environ, cloud.environment | {"AWS_ENDPOINT_URL_SERVICE_QUOTAS": url}),
    ):
        found = list(pools.check_quotas(a_patient(cloud, document)))
    told = {one.said.split(" when")[0]: one.verdict for one in found}
    assert told == {
        f"{REGION}: 8 of 5 vCPUs of 'vCPUs'": Verdict.MEND,
        f"{REGION}: 40 of 40 vCPUs of 'vCPUs'": Verdict.FINE,
    }
    assert "--quota-code L-1216C47A --desired-value 8" in next(one.advice for one in found if one.advice)


@pytest.mark.parametrize(("kind", "code"), [("g4dn.xlarge", "L-DB2E81BA"), ("inf2.xlarge", "L-1945791B"), ("t3.large", "L-1216C47A"), ("u-6tb1.metal", None)])  # fmt: skip
def test_each_family_has_its_quota(kind: str, code: str | None) -> None:
    assert pools.quota_of(kind, spot=False) == code


JUDGED = """<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>
<EvaluationResults>{}</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"""
MEMBER = "<member><EvalActionName>{}</EvalActionName><EvalDecision>{}</EvalDecision></member>"


@pytest.mark.parametrize("denied", ["", "iam:PassRole"])
def test_permissions_are_tried_and_judged(cloud: Cloud, denied: str) -> None:
    def respond(_headers: dict[str, str], _body: str) -> tuple[str, str]:
        members = (MEMBER.format(one, "implicitDeny" if one == denied else "allowed") for one in account.ROLE_ACTIONS)
        return "text/xml", JUDGED.format("".join(members))

    document = {"pools": {"client": {"ami": {REGION: AN_AMI}}}}
    with answering(respond) as url, patch.dict(os.environ, cloud.environment | {"AWS_ENDPOINT_URL_IAM": url}):
        tried, judged = list(account.check_permissions(a_patient(cloud, document)))
    assert (tried.verdict, "ec2:RunInstances" in tried.said) == (Verdict.FINE, True)
    assert (judged.verdict, denied in judged.said) == (Verdict.MEND if denied else Verdict.FINE, True)


def test_a_session_of_a_role_is_judged_as_the_role() -> None:
    session = "arn:aws:sts::123456789012:assumed-role/lablink-allocator-prod/i-0abc"
    assert account.role_of(session) == "arn:aws:iam::123456789012:role/lablink-allocator-prod"


@contextmanager
def name_server(servers: list[str]) -> Iterator[Resolver]:
    """Answers every question for name servers with these, every other one with an address; over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = sock.recvfrom(4096)
                if data == b"end":
                    return
                answer = dns.message.make_response(dns.message.from_wire(data))
                asked = answer.question[0]
                kind, texts = ("NS", servers) if asked.rdtype == dns.rdatatype.NS else ("A", ["192.0.2.1"])
                if texts:
                    answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *texts))
                sock.sendto(answer.to_wire(), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], sock.getsockname()[1], 5.0
        yield resolver
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", sock.getsockname())
        thread.join()


def look_at_name(cloud: Cloud, servers: list[str], **more: Any) -> Finding:
    document = {"pools": {}, "dns": {"enabled": True, "domain": "lab.delegated.example", **more}}
    with name_server(servers) as resolver, patch.dict(os.environ, cloud.environment):
        (finding,) = tier.check_dns(a_patient(cloud, document, resolver))
    return finding


def test_delegation_is_what_the_world_is_told(cloud: Cloud) -> None:
    made = cloud.client("route53").create_hosted_zone(Name="delegated.example", CallerReference="doctor")
    servers = made["DelegationSet"]["NameServers"]
    assert look_at_name(cloud, [f"{one}." for one in servers]).verdict is Verdict.FINE
    elsewhere = look_at_name(cloud, ["ns1.registrar.example."])
    assert (elsewhere.verdict, servers[0] in elsewhere.advice) == (Verdict.MEND, True)
    assert "nobody" in look_at_name(cloud, []).said
    by_hand = look_at_name(cloud, [], terraform_managed=False)
    assert (by_hand.verdict, "192.0.2.1" in by_hand.said) == (Verdict.FINE, True)


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """Shows a certificate that nobody has signed but itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # who distrusts us hangs up
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def a_named_patient(cloud: Cloud, port: int) -> Patient:
    """Its name is this machine's, which no document may say."""
    named = {"enabled": True, "domain": "lab.example.org", "terraform_managed": False}
    document = {"pools": {}, "dns": named, "ssl": {"provider": "letsencrypt", "email": "a@example.org"}}
    patient = a_patient(cloud, document, Resolver(configure=False), port)
    here = patient.lab.dns.model_copy(update={"domain": "localhost"})
    return replace(patient, lab=patient.lab.model_copy(update={"dns": here}))


def test_served_certificate_is_looked_at(cloud: Cloud, tmp_path: Path) -> None:
    with tls_server(tmp_path) as port:
        (bad,) = tier.check_certificate(a_named_patient(cloud, port))
    assert (bad.verdict, "does not hold" in bad.said) == (Verdict.MEND, True)
    (away,) = tier.check_certificate(a_named_patient(cloud, port))
    assert (away.verdict, "nobody answers" in away.said) == (Verdict.UNKNOWN, True)


def test_certificate_that_ends_soon_is_to_be_mended() -> None:
    soon, late = (datetime.now(UTC) + timedelta(days=days) for days in (3, 60))
    assert tier.judge_expiry("lab", soon, "do this").advice == "do this"
    assert tier.judge_expiry("lab", late, "do this").verdict is Verdict.FINE
    assert tier.covers("*.example.org", "lab.example.org")
    assert not tier.covers("*.example.org", "a.lab.example.org")


def test_clock_that_is_off_is_to_be_mended() -> None:
    assert account.judge_clock("AWS", -90.0).verdict is Verdict.MEND
    assert account.judge_clock("AWS", 2.0).verdict is Verdict.FINE


def look_at_database(cloud: Cloud, dsn: str, **told: str) -> list[Finding]:
    patient = a_patient(cloud, {"pools": {}})
    patient = replace(patient, environ={**cloud.environment, "LABLINK_DATABASE_DSN": dsn, **told})
    with patch.dict(os.environ, cloud.environment):
        return list(machine.check_database(patient))


def test_database_is_empty_old_sealed_by_another_key_or_of_another_account(
    cloud: Cloud, dsn: str, tmp_path: Path
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("UPDATE deployment SET account_id = '999999999999'")
        conn.execute("DELETE FROM schema_migration WHERE name = (SELECT max(name) FROM schema_migration)")
        conn.execute("INSERT INTO secret (name, value) VALUES ('ssh-key/a/b', 'sealed by another key')")
    write_keys(tmp_path, None, "")
    clock, old, sealed, other = look_at_database(cloud, dsn, LABLINK_KEYS=str(tmp_path))
    assert (sealed.verdict, "1 things of the record (ssh-key/a/b" in sealed.said) == (Verdict.MEND, True)
    assert (clock.verdict, old.verdict, other.verdict) == (Verdict.FINE, Verdict.MEND, Verdict.MEND)
    assert "1 migrations" in old.said
    assert "999999999999" in other.said
    empty = create_database(dsn, "doctor_empty", template="template0")
    try:
        assert look_at_database(cloud, empty)[-1].said == "it is empty"
    finally:
        drop_database(dsn, "doctor_empty")


def test_keys_that_others_may_read_are_to_be_mended(cloud: Cloud, tmp_path: Path) -> None:
    write_keys(tmp_path, None, "")
    patient = Patient(parse_lab("pools: {}").lab, {"LABLINK_KEYS": str(tmp_path)}, tmp_path, Doors(cloud.url), None)
    (good,) = machine.check_keys(patient)
    (tmp_path / "encryption_key").chmod(0o644)
    (open_,) = machine.check_keys(patient)
    (tmp_path / "encryption_key").write_text("not base64!")
    (tmp_path / "encryption_key").chmod(0o600)
    (broken,) = machine.check_keys(patient)
    assert [one.verdict for one in (good, open_, broken)] == [Verdict.FINE, Verdict.MEND, Verdict.MEND]
    assert open_.advice.startswith("`chmod 600")
