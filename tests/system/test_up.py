"""`lablink up` with everything real: processes, PostgreSQL, moto, Terraform, simulated VMs. Limits are generous."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.token import vm_token
from tests.processes import Watch

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
OURS = (b" -m api", b" -m controller", b" -m lablink up ")
DOCUMENT = "region: us-west-2\npools:\n  client:\n    size: 5  # as the class is large\n"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABLINK_", "AWS_", "TF_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


class Up:
    """A running `lablink up`, its output in a file, and its address once it is told."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data = folder / "data"
        self.output = folder / "up.log"
        command = [sys.executable, "-m", "lablink", "up", "--data", str(self.data), "--boot-seconds", "1..2"]
        command += ["--file", str(folder / "lablink.yaml"), "--no-ui-browser", *options]
        if "--port" not in options:
            command += ["--port", "0"]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment(), start_new_session=True
            )

    def wait_ready(self) -> dict[str, Any]:
        address = self.data / "sandbox.json"
        self.eventually(address.exists, "sandbox.json")
        return dict(json.loads(address.read_text()))

    def eventually(self, holds: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, f"it ended early:\n{self.output.read_text()}"
            assert time.monotonic() < limit, f"no {what} within {PATIENCE_S} s:\n{self.output.read_text()}"
            time.sleep(0.2)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Up]:
    up = Up(folder, *options)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lablink.yaml").write_text(DOCUMENT)
    return tmp_path


def leftovers(folder: Path) -> list[str]:
    """Processes that were told of this folder, by argument, environment or working directory."""
    mark, found = str(folder).encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if mark in told or mark in os.fsencode(os.readlink(process / "cwd")):
                found.append(f"{process.name}: {(process / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
        except (OSError, PermissionError):
            continue
    return found


def wait_gone(folder: Path) -> list[str]:
    limit = time.monotonic() + 30
    while (left := leftovers(folder)) and time.monotonic() < limit:
        time.sleep(0.2)
    return left


class Lab:
    """The API of a running sandbox, as its admin."""

    def __init__(self, address: dict[str, Any]) -> None:
        login = (address["admin_user"], address["admin_password"])
        self.http = httpx.Client(base_url=address["url"], auth=login, timeout=30, trust_env=False)

    def buckets(self) -> dict[str, str]:
        return {vm["hostname"]: vm["bucket"] for vm in self.http.get("/api/v1/vms").json()["items"]}

    def all_ready(self, size: int) -> bool:
        return list(self.buckets().values()) == ["ready"] * size

    def request(self, email: str) -> dict[str, Any]:
        form = {"email": email, "crd_command": 'start-host --code="4/abc"'}
        answer = httpx.post(
            self.http.base_url.join("/api/request_vm"), data=form, headers={"Accept": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_five_vms_get_ready_one_is_given_away_and_ctrl_c_leaves_nothing(folder: Path) -> None:
    with running(folder) as up, Watch(up.process.pid) as watch:
        address = up.wait_ready()
        assert (up.data / "sandbox.json").stat().st_mode & 0o777 == 0o600
        assert set(address["pids"]) == {"sandbox", "postgres", "aws", "api", "controller"}
        lab = Lab(address)
        up.eventually(lambda: lab.all_ready(5), "five ready VMs")
        names = set(lab.buckets())
        answer = lab.request("ada@example.org")
        given, pin = answer["hostname"], answer["pin"]
        up.eventually(lambda: lab.http.get(f"/api/v1/vms/{given}").json()["in_use"], "VM in use")
        up.eventually(lambda: lab.buckets()[given] == "assigned", "assigned VM")
        assert up.stop() == 0
    assert wait_gone(folder) == []
    assert not (up.data / "sandbox.json").exists()
    assert address["admin_password"] in up.output.read_text()
    assert_told_no_more_than_needed(watch, read_secrets(up.data, names), pin)

    with running(folder) as again:
        lab = Lab(again.wait_ready())
        up_again = dict.fromkeys(names, "ready") | {given: "assigned"}
        again.eventually(lambda: lab.buckets() == up_again, "the same VMs, the same user")
        assert again.stop(signal.SIGTERM) == 0
    assert wait_gone(folder) == []


def read_secrets(data: Path, names: set[str]) -> list[bytes]:
    """The deployment's, and the tokens of these VMs."""
    keys = [path.read_text().strip() for path in (data / "keys").iterdir()]
    assert len(keys) == 5
    secret = (data / "keys" / "deployment_secret").read_text().strip()
    return [word.encode() for word in (*keys, *(vm_token(secret.encode(), name, 1) for name in names))]


def assert_told_no_more_than_needed(watch: Watch, secrets: list[bytes], pin: str) -> None:
    """No secret is an argument; the environment of what is not ours holds none, nor where ours are."""
    kinds = (b" -m api", b" -m controller", b"/postgres ", b"sandbox.aws", b"terraform", b"guard.py")
    assert [kind for kind in kinds if not watch.find(kind)] == []
    number = re.compile(rb"(?<![0-9.])%b(?![0-9.])" % pin.encode())
    for told in watch.told:
        assert not any(secret in told.arguments for secret in secrets), told.arguments
        assert not number.search(told.arguments), told.arguments
        if not any(kind in told.arguments for kind in OURS):
            assert not any(secret in told.environment for secret in secrets), told.arguments
            assert b"LABLINK_" not in told.environment, told.arguments


def test_what_ends_unexpectedly_is_started_again(folder: Path) -> None:
    (folder / "lablink.yaml").write_text("pools: {client: {size: 1}}\n")
    with running(folder) as up:
        address = up.wait_ready()
        lab = Lab(address)
        up.eventually(lambda: lab.all_ready(1), "a ready VM")
        for name in ("api", "controller", "postgres", "aws"):
            os.kill(address["pids"][name], signal.SIGKILL)
        up.eventually(lambda: pids_changed(up, address), "new processes")
        up.eventually(lambda: healthy(address) and lab.all_ready(1), "the VM again")
        output = up.output.read_text()
        for sentence in ("The API was ended by SIGKILL", "The controller was ended by SIGKILL", "AWS has ended"):
            assert sentence in output
        assert "PostgreSQL has ended unexpectedly" in output


def pids_changed(up: Up, address: dict[str, Any]) -> bool:
    now = json.loads((up.data / "sandbox.json").read_text())["pids"]
    return all(now[name] != address["pids"][name] for name in ("api", "controller", "postgres", "aws"))


def healthy(address: dict[str, Any]) -> bool:
    try:
        return httpx.get(f"{address['url']}/api/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_kill_nine_of_the_sandbox_leaves_nothing(folder: Path) -> None:
    with running(folder) as up:
        up.wait_ready()
        up.process.kill()
        up.process.wait()
    assert wait_gone(folder) == []
    asked = subprocess.run(
        [sys.executable, "-m", "lablink", "status"],
        env=environment(LABLINK_DATA=str(up.data)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert asked.returncode == 1
    assert "start it again with `lablink up`" in asked.stderr


def test_a_port_in_use_is_one_sentence(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(folder, "--port", str(port)) as up:
            assert up.process.wait(PATIENCE_S) == 1
    words = up.output.read_text()
    assert words.startswith(f"Port {port} of 127.0.0.1 is in use")
    assert "--port" in words
    assert words.count("\n") == 1


def test_a_data_folder_belongs_to_one_sandbox(folder: Path) -> None:
    with running(folder) as up:
        up.wait_ready()
        command = [sys.executable, "-m", "lablink", "up", "--data", str(up.data), "--port", "0"]
        second = subprocess.run(
            [*command, "--file", str(folder / "lablink.yaml")],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert second.returncode == 1
        assert f"(process {up.process.pid})" in second.stderr
        assert "--data" in second.stderr
        assert (up.data / "sandbox.json").exists()


def test_without_terraform_it_says_what_to_install(folder: Path) -> None:
    command = [sys.executable, "-m", "lablink", "up", "--data", str(folder / "data"), "--port", "0"]
    done = subprocess.run(
        [*command, "--file", str(folder / "lablink.yaml")],
        env=environment(LABLINK_TERRAFORM="/nonexistent/terraform"),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert "install Terraform or OpenTofu 1.10 or newer" in done.stderr
    assert "Traceback" not in done.stderr
    assert wait_gone(folder) == []


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        assert up.process.wait(PATIENCE_S) == 1
    words = up.output.read_text()
    assert "lablink.yaml cannot be read" in words
    assert words.count("\n") == 1
    assert not (tmp_path / "data").exists()
