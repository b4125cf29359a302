"""From the release before to this one on the same database and states, with people at it: nothing is made anew, nobody waits in vain."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lablink.ports import free_port
from sandbox import postgres
from tests.system.earlier import ROOT, take_earlier_release
from tests.system.lab import Lab, open_lab

SIZE = 6
COMMAND = 'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="4/0Abc-{}" --redirect-url="https://remotedesktop.google.com/_/oauthredirect" --name=$(hostname)'


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return take_earlier_release(tmp_path / "earlier")


@pytest.fixture
def lab(earlier: Path, postgres_server: str, tmp_path: Path) -> Iterator[Lab]:
    """On the earlier release's schema, with its programs."""
    dsn = postgres.create_database(postgres_server, "test_upgrade")
    with open_lab(dsn, tmp_path) as lab:
        lab.root = earlier
        migrate(lab)
        yield lab
    postgres.drop_database(postgres_server, "test_upgrade")


def test_an_upgrade_replaces_no_vm_and_loses_nobody_while_both_releases_serve(lab: Lab) -> None:
    lab.declare(SIZE, head="vm_auth: hostname\n")
    lab.start_controller()
    lab.wait_for_size(SIZE)
    made = read_made(lab)
    with serving(lab) as old, ThreadPoolExecutor(SIZE) as vms:
        told = {name: vms.submit(wait_for_command, old, name) for name in made}
        lab.wait("VMs that wait", lambda: count_free(old) == SIZE)
        check_told(told, ask(old, 1))
        lab.stop_controllers()
        lab.root = ROOT
        migrate(lab)
        check_told(told, ask(old, 2))
        check_telemetry(old, next(iter(made)))
        with serving(lab) as new:
            lab.start_controller()
            check_told(told, ask(new, 3))
            lab.wait("the new controller's word", lambda: lab.condition("Converged")["status"] and leads_anew(lab))
            lab.wait_for_size(SIZE)
            assert read_made(lab) == made
            assert (lab.calls()["RunInstances"], lab.calls().get("TerminateInstances", 0)) == (SIZE, 0)
            assert len(lab.rows("SELECT FROM assignment WHERE ended_at IS NULL")) == 3
            again = {name: vms.submit(wait_for_command, new, name) for name, call in told.items() if not call.done()}
            for person in (4, 5, 6):
                check_told(again, ask(new, person))
            lab.declare(SIZE + 1, head="vm_auth: hostname\n")  # the states of the earlier release are gone on with
            lab.wait_for_size(SIZE + 1)
            assert made.items() <= read_made(lab).items()


def migrate(lab: Lab) -> None:
    subprocess.run([sys.executable, "-m", "lablink", "migrate"], cwd=lab.root, env=lab.environment, check=True)


@contextmanager
def serving(lab: Lab) -> Iterator[str]:
    """An API process of the release that the lab stands at; its address."""
    port = free_port("127.0.0.1")
    environment = lab.environment | {"LABLINK_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with (lab.folder / f"controller-api-{port}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api"], cwd=lab.root, env=environment, stdout=log, stderr=log)
    try:
        lab.wait("the API", lambda: is_up(url))
        yield url
    finally:
        process.terminate()
        process.wait(30)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for_command(url: str, hostname: str) -> dict[str, Any] | None:
    """What a client VM is told in its held call; None when the call broke off."""
    try:
        answer = httpx.post(f"{url}/vm_startup", json={"hostname": hostname}, timeout=120, trust_env=False)
        return dict(answer.json())
    except httpx.HTTPError:
        return None


def ask(url: str, person: int) -> dict[str, Any]:
    body = {"email": f"p{person}@example.org", "crd_command": COMMAND.format(person)}
    answer = httpx.post(f"{url}/api/request_vm", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return {**answer.json(), "command": body["crd_command"]}


def check_told(told: dict[str, "Future[dict[str, Any] | None]"], person: dict[str, Any]) -> None:
    answer = told[person["hostname"]].result(30)
    assert answer is not None
    assert (answer["pin"], answer["command"].split("--code=")[1][:12]) == (
        person["pin"],
        person["command"].split("--code=")[1][:12],
    )


def check_telemetry(url: str, hostname: str) -> None:
    for path, body in (("/api/gpu_health", {"gpu_status": "Healthy"}), ("/api/update_inuse_status", {"status": True})):
        answer = httpx.post(f"{url}{path}", json={"hostname": hostname, **body}, trust_env=False)
        assert answer.status_code == 200, (path, answer.text)


def count_free(url: str) -> int:
    return int(httpx.get(f"{url}/api/unassigned_vms_count", trust_env=False).json()["count"])


def read_made(lab: Lab) -> dict[str, tuple[Any, ...]]:
    rows = lab.rows("SELECT hostname, instance_id, spec_hash, created_at FROM vm WHERE phase <> 'gone' ORDER BY 1")
    return {row["hostname"]: (row["instance_id"], row["spec_hash"], row["created_at"]) for row in rows}


def leads_anew(lab: Lab) -> bool:
    return bool(lab.row("SELECT max(token) AS token FROM lease")["token"] > 1)
