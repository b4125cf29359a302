"""Into the containers of client VMs by SSH: host keys pinned at first use, every wait and every answer bounded.

What a VM says is its user's word, who is root there: names and contents are taken as hostile. Used by `api.collect`.
"""

import ctypes.util
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import anyio

from schemas.settings import Settings
from store.db import Db
from store.host_key import Reachable, pin_host_key
from store.secret import Cipher, SecretError, read_secret, ssh_key_name

# It looks for libraries that it can do without, by a compiler and a linker that would be told our environment.
with patch.object(ctypes.util, "find_library", return_value=None):
    import asyncssh

CONNECT_S = 10.0
LOGIN_S = 15.0
QUIET_S = 60.0  # without a byte
CHUNK = 256 * 1024
LONGEST_LIST = 1024 * 1024
MOST_FILES = 2000
LONGEST_WORDS = 300

# Only root and the group `docker` may write to Docker's socket.
DOCKER = 'docker=docker; [ -w /var/run/docker.sock ] || docker="sudo -n docker"; exec $docker exec lablink-client '
# Runs in the container's shell; $0 is the pattern. Exit 1 of find means that a folder could not be read.
FIND = (
    'case "${HOME:-/}" in /|/home|/home/*) set -- /home;; *) set -- /home "$HOME";; esac; '
    'find "$@" -xdev -type f -name "$0" -print0 2>/dev/null || [ $? = 1 ]'
)


class VmError(Exception):
    """What could not be had from one VM, and why, in a sentence without the VM's name."""


class _Visitor(asyncssh.SSHClient):
    """Accepts the pinned host key, or any at the first visit."""

    def __init__(self, pinned: str | None) -> None:
        self.pinned = pinned
        self.shown = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - asyncssh's
        self.shown = key.export_public_key("openssh").decode().strip()
        return self.pinned in (None, self.shown)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with SSH becomes a VmError."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable:
        raise VmError("its SSH host key is not the one that it showed at first; it may be somebody else") from None
    except asyncssh.PermissionDenied:
        raise VmError("it does not accept the pool's SSH key") from None
    except TimeoutError:
        raise VmError("it did not answer in time") from None
    except (asyncssh.Error, OSError) as error:
        raise VmError(f"SSH failed: {_words(str(error) or type(error).__name__)}") from None


@dataclass
class Ssh:
    """Opens connections; keeps the keys of pools for as long as it lives, which is one collection."""

    db: Db
    settings: Settings
    _keys: dict[str, asyncssh.SSHKey] = field(default_factory=dict)

    @asynccontextmanager
    async def visit(self, vm: Reachable) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """A connection to a VM. Whatever goes wrong in it, also in the block, becomes a VmError."""
        with _told():
            connection = await self._connect(vm)
            async with connection:
                yield connection

    async def _connect(self, vm: Reachable) -> asyncssh.SSHClientConnection:
        key = await self._read_key(vm)
        places = self._places(vm)
        for left, (host, port) in reversed(list(enumerate(reversed(places)))):
            visitor = _Visitor(vm.host_key)
            try:
                with anyio.fail_after(CONNECT_S + LOGIN_S):
                    connection, _ = await asyncssh.create_connection(
                        lambda visitor=visitor: visitor,  # type: ignore[misc]
                        host,
                        port,
                        username=self.settings.ssh_user,
                        client_keys=[key],
                        known_hosts=([], [], []),  # the visitor decides
                        config=None,
                        agent_path=None,
                        preferred_auth="publickey",
                        compression_algs=["none"],
                        connect_timeout=CONNECT_S,
                        login_timeout=LOGIN_S,
                        keepalive_interval=15,
                    )
            except (TimeoutError, OSError):
                if not left:  # no other address is left to try
                    raise
                continue
            await self._pin(vm, visitor, connection)
            return connection
        raise VmError("it has no address yet")

    def _places(self, vm: Reachable) -> list[tuple[str, int]]:
        """Where port 22 may be: inside the network first, which costs nothing."""
        if self.settings.ssh_stand_in:
            host, _, port = self.settings.ssh_stand_in.rpartition(":")
            return [(host, int(port))]
        return [(address, 22) for address in dict.fromkeys((vm.private_ip, vm.public_ip)) if address]

    async def _pin(self, vm: Reachable, visitor: _Visitor, connection: asyncssh.SSHClientConnection) -> None:
        if vm.host_key is not None:
            return
        async with self.db.connection() as conn:
            kept = await pin_host_key(conn, vm.hostname, visitor.shown)
        if kept != visitor.shown:  # another collection was there at the same time, and met another host
            connection.abort()
            raise asyncssh.HostKeyNotVerifiable("another host key was pinned meanwhile")

    async def _read_key(self, vm: Reachable) -> asyncssh.SSHKey:
        name = ssh_key_name(vm.pool, vm.region)
        if name not in self._keys:
            cipher = Cipher.of(self.settings)
            try:
                async with self.db.connection() as conn:
                    private = await read_secret(conn, cipher, name)
            except SecretError as error:
                raise VmError(str(error)) from None
            if private is None:
                raise VmError(f"pool {vm.pool} has no SSH key in {vm.region} yet; the controller makes it")
            self._keys[name] = asyncssh.import_private_key(private)
        return self._keys[name]


async def list_files(connection: asyncssh.SSHClientConnection, extension: str) -> list[str]:
    """Paths in the container, sorted. Raises VmError when there are too many to be meant."""
    command = DOCKER + shlex.join(["sh", "-c", FIND, f"*.{extension}"])
    found = b"".join([chunk async for chunk in _read(connection, command, LONGEST_LIST)])
    paths = [path.decode(errors="surrogateescape") for path in found.split(b"\0") if path]
    if len(paths) > MOST_FILES:
        raise VmError(f"it has {len(paths)} such files, more than {MOST_FILES}; fetch them another way")
    return sorted(paths)


async def read_file(connection: asyncssh.SSHClientConnection, path: str, limit: int) -> AsyncIterator[bytes]:
    """The content of a file in the container, as it comes. Raises VmError beyond `limit` bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise VmError("its name is not UTF-8") from None
    async for chunk in _read(connection, DOCKER + shlex.join(["cat", "--", path]), limit):
        yield chunk


async def _read(connection: asyncssh.SSHClientConnection, command: str, limit: int) -> AsyncIterator[bytes]:
    size = 0
    with _told():
        async with connection.create_process(command, stdin=asyncssh.DEVNULL, encoding=None) as process:
            while True:
                with anyio.fail_after(QUIET_S):
                    chunk: bytes = await process.stdout.read(CHUNK)
                if not chunk:
                    break
                size += len(chunk)
                if size > limit:
                    raise VmError(f"it is larger than {limit:,} bytes")
                yield chunk
            with anyio.fail_after(QUIET_S):
                said: bytes = await process.stderr.read(LONGEST_WORDS)
                await process.wait_closed()
    if process.exit_status != 0:
        raise VmError(_words(said.decode(errors="replace")) or f"the command ended with status {process.exit_status}")


def _words(text: str) -> str:
    """A VM's words on one line, printable and short."""
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:LONGEST_WORDS]
