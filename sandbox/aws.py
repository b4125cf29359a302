"""AWS on this machine: `start_aws` runs `python -m sandbox.aws` as a process of its own and says where it listens.

The process ends with the one that started it. Its folder holds `aws.pickle` (the world, see `sandbox.aws_snapshot`) and
`aws.log`.
"""

import argparse
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

FORGET_S = 3600.0  # EC2 shows a terminated instance for about an hour (Troubleshoot instance termination)
_STOP_S = 30.0
_LETTING_GO_S = 8.0


class AwsError(Exception):
    """AWS cannot be stood in for; the message is one sentence for a person."""


@dataclass(frozen=True)
class RunningAws:
    """`url` is what AWS_ENDPOINT_URL has to be; `fault_url` takes `/faults` and `/calls`."""

    url: str
    fault_url: str
    region: str
    pid: int
    _process: subprocess.Popen[str]

    def stop(self) -> None:
        """Stores the world and ends. Idempotent."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def start_aws(
    folder: Path, port: int = 0, region: str = "us-west-2", *, forget_terminated_s: float = FORGET_S
) -> RunningAws:
    """Starts moto with what `folder` holds of an earlier world; port 0 takes a free one. Blocks until it answers."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--port", str(port), "--folder", str(folder), "--region", region, "--parent", str(os.getpid())]
    options += ["--forget-seconds", str(forget_terminated_s)]
    with (folder / "aws.log").open("ab") as log:
        begin = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.aws", *options],
            cwd=Path(__file__).resolve().parents[1],
            env=_render_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is for the sandbox, which ends this one last
        )
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
    if not line:
        process.wait()
        with (folder / "aws.log").open("rb") as log_read:
            log_read.seek(begin)
            words = log_read.read().decode(errors="replace").strip().splitlines()
        raise AwsError(words[-1] if words else f"AWS could not be started: see {folder}/aws.log.")
    told = json.loads(line)
    return RunningAws(told["url"], told["fault_url"], told["region"], told["pid"], process)


def _render_environment() -> dict[str, str]:
    """The person's own AWS profiles and moto settings must not reach moto: a missing profile would stop it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def main() -> int:
    """The process itself."""
    parser = argparse.ArgumentParser(description="AWS by moto, with a fault injector in front.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, required=True, help="where the world is kept")
    parser.add_argument("--region", default="us-west-2")
    parser.add_argument("--forget-seconds", type=float, default=FORGET_S, help="how long terminated instances show")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="the process to end with")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    lock = (options.folder / "aws.lock").open("w")
    if not _take(lock):
        print(f"The folder {options.folder} is in use by another AWS of a sandbox: stop that one.", file=sys.stderr)
        return 1
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", options.port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        print(f"Port {options.port} of 127.0.0.1 cannot be used ({error}): choose another one.", file=sys.stderr)
        return 1
    environment = _render_environment()
    os.environ.clear()
    os.environ.update(environment)
    # Not before the environment is set: moto reads it when it is imported (and takes a second).
    from sandbox.moto_import import import_ec2  # noqa: PLC0415

    import_ec2()
    from sandbox.aws_server import serve  # noqa: PLC0415

    serve(listening, options.folder, options.region, options.parent, options.forget_seconds)
    return 0


def _take(lock: TextIO) -> bool:
    """Waits a little: the process of a sandbox that was just killed is still storing its world."""

    def give_up(_received: int, _frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _LETTING_GO_S)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


if __name__ == "__main__":
    sys.exit(main())
