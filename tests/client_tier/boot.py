"""A client VM without a VM: the rendered user data run as they are, in a folder that stands for `/`, with stand-ins for
what they would change, and a real HTTP server as the allocator. Used by the tests here."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.client_tier.module import ALLOCATOR

# All that the scripts may use of the real machine. Nothing else is on their PATH, so nothing of it can be touched.
REAL_PROGRAMS = ("base64", "bash", "cat", "date", "grep", "gunzip", "gzip", "install", "ln", "mkdir", "sh")
STAND_INS = ("apt-get", "curl", "docker", "dpkg", "nvidia-ctk", "nvidia-smi", "sleep", "systemctl")
AGENT = "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"

# One program under many names. It writes its call down, fails where `fails` names it, and does the little that the
# scripts see of the real one. A call of curl to the allocator is let through; any other is a download.
STAND_IN = """#!/bin/bash
name=${0##*/}
{ printf '%s' "$name"; printf ' %s' "$@"; printf '\\n'; } >>"$STAND_IN_FOLDER/calls"
if grep -qxF "$name ${1:-}" "$STAND_IN_FOLDER/fails"; then echo "$name: refused" >&2; exit 3; fi
case "$name $*" in
curl*"$ALLOCATOR_STAND_IN"*) exec "$REAL_CURL" "$@" ;;
curl*--output*) while [ "$1" != --output ]; do shift; done; echo downloaded >"$2" ;;
'docker top '*) cat "$STAND_IN_FOLDER/top" ;;
'dpkg --print-architecture') echo amd64 ;;
'dpkg --install '*) ln -s "$STAND_IN_FOLDER/stand-in" "$LABLINK_ROOT/$AGENT" ;;
'apt-get '*' docker.io') ln -s ../stand-in "$STAND_IN_FOLDER/bin/docker" ;;
'apt-get '*' nvidia-container-toolkit') ln -s ../stand-in "$STAND_IN_FOLDER/bin/nvidia-ctk" ;;
'nvidia-smi --query-gpu'*) printf '40, 1000, 61\\n10, 24, 70\\n' ;;
esac
"""


class AllocatorStandIn:
    """Keeps what it is sent; `answers` maps a path to (status, JSON), all else is (200, {})."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any] | None]] = []  # path and body
        self.authorizations: set[str] = set()
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler(), bind_and_activate=False)
        self._server.server_bind()  # the port is ours, and refuses calls until `open`
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def open(self) -> None:
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def bodies(self, path: str) -> list[dict[str, Any] | None]:
        return [body for called, body in self.calls if called == path]

    def statuses(self) -> list[str]:
        return [str(body["status"]) for body in self.bodies("/api/vm-status") if body]

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(None)

            def do_PUT(self) -> None:
                self.answer(None)

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, body: dict[str, Any] | None) -> None:
                stand_in.calls.append((self.path, body))
                stand_in.authorizations.add(self.headers["Authorization"])
                status, answer = stand_in.answers.get(self.path, (200, {}))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
                """The test reads `calls`; its output stays quiet."""

        return Handler


class Machine:
    """The VM: `root` stands for `/`, `calls` is what was done to it; `fail` makes stand-ins fail."""

    def __init__(self, folder: Path, allocator_url: str) -> None:
        self.root = folder / "root"
        self.folder = folder / "stand-ins"
        self._allocator_url = allocator_url
        for path in ("etc/systemd/system", "etc/apt/sources.list.d", "usr/share/keyrings", str(Path(AGENT).parent)):
            (self.root / path).mkdir(parents=True)
        (self.folder / "bin").mkdir(parents=True)
        self._stand_in = self.folder / "stand-in"
        self._stand_in.write_text(STAND_IN)
        self._stand_in.chmod(0o755)
        for name in STAND_INS:
            (self.folder / "bin" / name).symlink_to(self._stand_in)
        for name in REAL_PROGRAMS:
            (self.folder / "bin" / name).symlink_to(find_program(name))
        (self.root / AGENT).symlink_to(self._stand_in)
        (self.folder / "fails").write_text("")
        (self.folder / "calls").write_text("")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.folder / "bin"),
            "LABLINK_ROOT": str(self.root),
            "STAND_IN_FOLDER": str(self.folder),
            "ALLOCATOR_STAND_IN": self._allocator_url,
            "REAL_CURL": find_program("curl"),
            "AGENT": AGENT,
            "LABLINK_METADATA": self._allocator_url,  # plays EC2's metadata service, too
        }

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def remove_program(self, name: str) -> None:
        (self.folder / "bin" / name).unlink()

    def fail(self, *calls: str) -> None:
        """`calls` are programs with their first argument, such as "docker pull"."""
        (self.folder / "fails").write_text("\n".join(calls) + "\n")

    def start(self, script: str) -> subprocess.Popen[str]:
        """Runs user data whose allocator is the stand-in; standard output and error are one."""
        path = self.folder / "user-data"
        path.write_text(script.replace(ALLOCATOR, self._allocator_url))
        return subprocess.Popen(
            [find_program("bash"), str(path)],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def boot(self, script: str) -> tuple[int, str]:
        """Exit code and log."""
        with self.start(script) as process:
            log, _ = process.communicate(timeout=60)
        return process.returncode, log

    def look(self, processes: list[str] | None) -> str:
        """What one run of the reporter prints. `processes` are the container's, as "pid args"; None: no container."""
        top = self.folder / "top"
        top.unlink(missing_ok=True)
        if processes is not None:
            top.write_text("\n".join(["PID COMMAND", *processes]) + "\n")
        reporter = self.root / "usr/local/lib/lablink/reporter.py"
        done = subprocess.run(
            [sys.executable, str(reporter)],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def find_program(name: str) -> str:
    path = shutil.which(name, path=os.defpath + ":/usr/local/bin:" + os.environ["PATH"])
    assert path, f"{name} is not installed"
    return path
