"""A database that is not this machine's (RDS, or an external one): verified by TLS, shared by two hosts, lost and restored, away and back."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import psycopg
import pytest

from lablink.ports import free_port
from tests.system.test_serve import ROOT, answers, environment, eventually, serving
from tests.system.tls_database import TlsDatabase, serving_tls

YAML = "pools: {client: {size: 0}}\n"


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsDatabase]:
    with serving_tls() as database:
        yield database


def told(tls: TlsDatabase, folder: Path, port: int = 0) -> dict[str, str]:
    """The environment of a host."""
    folder.mkdir(exist_ok=True)
    return environment(folder, tls.dsn(), port) | {
        "PGPASSFILE": str(tls.write_passwords(folder / "pgpass")),
        "LABLINK_LEASE_TTL_S": "3",
        "LABLINK_ADMIN_PASSWORD_HASH": bcrypt.hashpw(b"secret-word", bcrypt.gensalt(4)).decode(),
    }


def lablink(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lablink", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def read(tls: TlsDatabase, env: dict[str, str], statement: str) -> list[Any]:
    with psycopg.connect(tls.dsn(), passfile=env["PGPASSFILE"]) as conn:
        return conn.execute(statement).fetchall()


def test_a_server_is_believed_by_its_ca_and_name_alone(tls: TlsDatabase, tmp_path: Path) -> None:
    env = told(tls, tmp_path)
    strangers = {tls.dsn(tls.other_ca): "certificate verify failed", tls.dsn(host="db.example.org"): "does not match"}
    for dsn, said in strangers.items():
        refused = lablink(env | {"LABLINK_DATABASE_DSN": dsn}, "migrate")
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "sslrootcert has to name the CA" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert lablink(env, "migrate").returncode == 0
    with psycopg.connect(tls.dsn(), passfile=env["PGPASSFILE"]) as conn:
        assert conn.pgconn.ssl_in_use
    file = tmp_path / "lablink.yaml"
    file.write_text(YAML)
    looked = lablink(env, "doctor", "--file", str(file))
    assert "its schema is the newest" in looked.stdout


def test_a_lost_database_of_a_provider_is_restored_from_a_backup(tls: TlsDatabase, tmp_path: Path) -> None:
    """As in deploy/RUNBOOK.md: an empty one in its place, whose owner is no superuser, then `lablink restore`."""
    env, file = told(tls, tmp_path), tmp_path / "lablink.yaml"
    file.write_text(YAML)
    assert lablink(env, "migrate").returncode == 0
    with psycopg.connect(tls.dsn(), passfile=env["PGPASSFILE"]) as conn:
        conn.execute("INSERT INTO pool (name, counter) VALUES ('kept', 7)")
    where = ("--file", str(file), "--to", str(tmp_path / "backups"))
    made = lablink(env, "backup", *where)
    assert made.returncode == 0, made.stderr
    with tls.superuser() as conn:
        conn.execute("DROP DATABASE lablink")
        conn.execute("CREATE DATABASE lablink OWNER lablink")
    restored = lablink(env, "restore", "latest", "--yes", "--offline", *where)
    assert restored.returncode == 0, restored.stderr
    assert read(tls, env, "SELECT name, counter FROM pool") == [("kept", 1007)]


def test_two_hosts_serve_from_one_database_outlive_its_absence_and_one_another(
    tls: TlsDatabase, tmp_path: Path
) -> None:
    ports = [free_port("127.0.0.1"), free_port("127.0.0.1")]
    envs = [told(tls, tmp_path / str(port), port) for port in ports]
    with ExitStack() as hosts:
        first, second = (hosts.enter_context(serving(env, Path(env["PGPASSFILE"]).parent)) for env in envs)
        eventually(lambda: all(map(answers, ports)))
        assert put_document(ports[0]) == 1
        assert get_document(ports[1]) == {"version": 1, "yaml": YAML}
        eventually(lambda: len(leaders(tls, envs[0])) == 1)
        (token, led) = leaders(tls, envs[0])[0]

        tls.stop()
        eventually(lambda: not any(map(answers, ports)))
        tls.start()
        eventually(lambda: all(map(answers, ports)) and len(leaders(tls, envs[0])) == 1)
        assert (first.poll(), second.poll()) == (None, None)

        (token, led) = leaders(tls, envs[0])[0]
        leading, other = (0, 1) if is_child_of(led, first.pid) else (1, 0)
        (first, second)[leading].kill()
        eventually(lambda: any(now > token for now, _ in leaders(tls, envs[0])))
        eventually(lambda: get_document(ports[other]) == {"version": 1, "yaml": YAML})


def leaders(tls: TlsDatabase, env: dict[str, str]) -> list[tuple[int, int]]:
    """Token and process of the lease that is in force."""
    found = read(tls, env, "SELECT token, split_part(holder, '/', 2)::int FROM lease WHERE expires_at > now()")
    return [(int(token), int(process)) for token, process in found]


def is_child_of(process: int, parent: int) -> bool:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]) == parent


def put_document(port: int) -> int:
    url = f"http://127.0.0.1:{port}/api/v1/desired"
    answer = httpx.put(url, content=YAML, auth=("admin", "secret-word"), headers={"If-Match": "0"}, trust_env=False)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def get_document(port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/api/v1/desired"
    answer = httpx.get(url, auth=("admin", "secret-word"), trust_env=False)
    return {name: answer.json().get(name) for name in ("version", "yaml")}
