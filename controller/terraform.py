"""Runs Terraform: one command at a time under its guard, as a subprocess with typed results. Called by `controller.apply`.

Nothing secret is ever an argument; what Terraform is told comes by files of mode 0600 and by its environment.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.text import TextReceiveStream

from controller import guard
from controller.errors import Cause, Failure, read_failures
from schemas.credentials import AwsKeys

MOST_LINES = 4_000
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")
PASSED_ON_STARTS = ("AWS_", "TF_REATTACH_", "TF_PLUGIN_", "TF_CLI_CONFIG_FILE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def choose_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the controller's own environment Terraform may see: where AWS is and who we are, never LabLink's secrets.

    `TF_LOG` makes the AWS provider say each call with its user data, tokens of VMs in it: into a file of the host's (`TF_LOG_PATH`)
    or not at all, for what is said without one is kept with the run.
    """
    starts = (*PASSED_ON_STARTS, "TF_LOG") if environ.get("TF_LOG_PATH") else PASSED_ON_STARTS
    kept = {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith(starts) or name.upper() in PROXIES
    }
    return kept | {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}


OTHER_WAYS = (  # to credentials, that could be found before the keys or be mixed with them
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
)


def put_keys(environment: Mapping[str, str], keys: AwsKeys | None) -> dict[str, str]:
    """The environment in which Terraform works with these keys and no others; None: with what there is."""
    if keys is None:
        return dict(environment)
    put = {"AWS_ACCESS_KEY_ID": keys.access_key_id, "AWS_SECRET_ACCESS_KEY": keys.secret_access_key}
    if keys.session_token:
        put["AWS_SESSION_TOKEN"] = keys.session_token
    return {name: value for name, value in environment.items() if name not in OTHER_WAYS} | put


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take. A run may go on `ttl_s` past its last renewal, then has `grace_s` to save its state."""

    ttl_s: float = 15.0
    renew_s: float = 4.0
    grace_s: float = 20.0
    apply_s: float = 480.0  # the real provider repeats a refused launch for very long
    plan_s: float = 300.0
    lock_s: int = 5  # for another Terraform's lock
    progress_s: float = 0.5  # between two writes of progress
    margin_s: float = 17.0  # for a guard that was not scheduled at once, and a jump of the database's clock by 15 s

    @property
    def surely_over_s(self) -> float:
        """How long past `must_end_by` nothing of a run can be left."""
        return self.grace_s + self.margin_s

    @property
    def answer_s(self) -> float:
        """How long the database may take to answer while a run goes on: in its life there is time for another connection."""
        return self.ttl_s / 3


@dataclass(frozen=True, slots=True)
class Terraform:
    """The binary and what its environment always holds; what belongs to one run comes with its commands."""

    binary: Path
    environment: Mapping[str, str] = field(repr=False)
    pace: Pace = Pace()

    def find(self) -> str | None:
        """The path of the binary, or None when there is none."""
        return which(self.binary, path=self.environment.get("PATH", os.defpath))

    async def run(
        self, command: "Command", tether: "Tether", on_message: Callable[[Mapping[str, Any]], None] | None = None
    ) -> "Finished":
        """Run one command to its end. When cancelled, Terraform gets SIGINT and is waited for before the cancellation goes on."""
        return await _run(self, command, tether, on_message)


@dataclass(frozen=True, slots=True)
class Command:
    """One invocation: arguments, the folder it runs in, and its part of the environment."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    limit_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """How an invocation ended. `messages` are the lines of a `-json` command, `text` all of standard output of another."""

    code: int
    messages: tuple[Mapping[str, Any], ...]
    text: str
    errors: str

    @property
    def succeeded(self) -> bool:
        return self.code == 0

    @property
    def interrupted(self) -> bool:
        """Ended from outside: by its guard, or by a signal that killed it or its guard."""
        return self.code == guard.INTERRUPTED or self.code >= 128 or self.code < 0

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What went wrong, at least one when anything did."""
        if self.succeeded:
            return ()
        found = read_failures(self.messages)
        if self.code == guard.OUT_OF_TIME and not any(f.cause is Cause.CAPACITY for f in found):
            return (*found, Failure(Cause.TIMEOUT, "Terraform took longer than it may"))
        if self.interrupted:
            return (*found, Failure(Cause.INTERRUPTED, "Terraform was ended before its time"))
        return found or (self._read_plain_failure(),)

    def _read_plain_failure(self) -> Failure:
        said = " ".join(self.errors.split())[:1000] or f"Terraform ended with code {self.code} and no word"
        return Failure(next((f.cause for f in _as_diagnostic(said)), Cause.UNKNOWN), said)


def _as_diagnostic(said: str) -> tuple[Failure, ...]:
    return read_failures([{"type": "diagnostic", "diagnostic": {"severity": "error", "summary": said}}])


@dataclass(slots=True)
class Tether:
    """What keeps the Terraforms of one run alive: until when they may go on, as their guard is told."""

    until: float
    stopped: bool = False
    _guard: ByteSendStream | None = field(default=None, repr=False)

    async def extend(self, until: float) -> None:
        """`until` is an instant of the event loop's clock, which is the monotonic one, the same for all processes of a machine."""
        self.until = until
        await self._tell(f"{until}\n")

    async def stop(self) -> None:
        """SIGINT to what runs now; what would come next is not started."""
        self.stopped = True
        await self._tell("stop\n")

    async def _tell(self, line: str) -> None:
        if self._guard is None:
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # it has ended
            await self._guard.send(line.encode())

    async def attach(self, stream: ByteSendStream | None) -> None:
        self._guard = stream
        if self.stopped:
            await self.stop()


async def _run(
    terraform: Terraform, command: Command, tether: Tether, on_message: Callable[[Mapping[str, Any]], None] | None
) -> Finished:
    arguments = (
        str(tether.until),
        str(command.limit_s),
        str(terraform.pace.grace_s),
        terraform.find() or str(terraform.binary),
    )
    heard = _Heard(on_message, is_json="-json" in command.arguments and command.arguments[0] != "show")
    done = anyio.Event()
    async with (
        await anyio.open_process(
            [sys.executable, "-I", "-S", guard.__file__, *arguments, *command.arguments],
            cwd=command.folder,
            env={**terraform.environment, **command.environment},
            start_new_session=True,
        ) as process,
        anyio.create_task_group() as group,
    ):

        async def follow() -> None:
            with anyio.CancelScope(shield=True):
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stderr is not None
                await tether.attach(process.stdin)
                async with anyio.create_task_group() as readers:
                    readers.start_soon(heard.read_output, process.stdout)
                    readers.start_soon(heard.read_errors, process.stderr)
                await process.wait()
                await tether.attach(None)
                done.set()

        group.start_soon(follow)
        try:
            await done.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await tether.stop()
            raise
    assert process.returncode is not None
    return Finished(process.returncode, tuple(heard.messages), "".join(heard.text), "".join(heard.errors))


@dataclass(slots=True)
class _Heard:
    """Collects what a Terraform says; lines of a `-json` command are handed on as they come."""

    on_message: Callable[[Mapping[str, Any]], None] | None
    is_json: bool
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def read_output(self, stream: ByteReceiveStream) -> None:
        rest = ""
        async for chunk in TextReceiveStream(stream, errors="replace"):
            if not self.is_json:
                self.text.append(chunk)
                continue
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                self._take(line)
        self._take(rest)

    async def read_errors(self, stream: ByteReceiveStream) -> None:
        async for chunk in TextReceiveStream(stream, errors="replace"):
            self.errors.append(chunk)

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            if line.strip():
                self.errors.append(f"{line}\n")
            return
        if len(self.messages) < MOST_LINES:
            self.messages.append(message)
        if self.on_message:
            self.on_message(message)
