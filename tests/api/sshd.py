"""A real OpenSSH server on a free port that plays the VMs: `docker exec` on its PATH runs the command in a folder a container."""

import getpass
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

SSHD = "/usr/sbin/sshd"
# Runs what `docker exec lablink-client …` is asked for, with the container's home as its folder.
DOCKER = """#!/bin/sh
[ "$1 $2" = "exec lablink-client" ] || {{ echo "Error: No such container: $2" >&2; exit 1; }}
[ -e "{folder}/broken" ] && {{ echo "Error response from daemon: container is not running" >&2; exit 1; }}
shift 2
HOME="{home}" exec "$@"
"""
SUDO = '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n'
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
SetEnv PATH={folder}/bin:/usr/bin:/bin
"""


@dataclass(frozen=True)
class Sshd:
    """`home` is the container's; `private` is the key that it accepts."""

    folder: Path
    port: int
    private: bytes

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings(self) -> dict[str, str]:
        """What the API is told, so that it comes here."""
        return {"ssh_user": getpass.getuser(), "ssh_stand_in": f"127.0.0.1:{self.port}"}

    def break_container(self) -> None:
        (self.folder / "broken").touch()


@contextmanager
def start_sshd(folder: Path) -> Iterator[Sshd]:
    """Runs until the block ends. As root OpenSSH wants a folder of the system's, which its package leaves to systemd."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    (folder / "home").mkdir(parents=True)
    (folder / "authorized_keys").write_bytes(key.export_public_key())
    (folder / "host_key").touch(mode=0o600)
    (folder / "host_key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    _write_program(folder, "docker", DOCKER.format(folder=folder, home=folder / "home"))
    _write_program(folder, "sudo", SUDO)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder))
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_for(port, process, folder / "sshd.log")
            yield Sshd(folder, port, key.export_private_key())
        finally:
            process.terminate()


def _write_program(folder: Path, name: str, text: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it accepts connections; says what it said when it ends instead."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError(log.read_text())
