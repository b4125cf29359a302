"""Programs that a reader of the manual has and a machine that runs tests need not have. Each does, or looks as closely as it can at, what it is asked.

Called as commands by what `allocator_host.py` puts on the path: `python -m tests.system.stand_ins NAME …`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from schemas.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def systemctl(verb: str, unit: str) -> None:
    """`lablink.service` without a container: what that one starts is started, and ended as it would be."""
    assert (ROOT / f"deploy/systemd/{unit}.service").exists(), f"no unit {unit}"
    folder = Path(os.environ["HOST"])
    pid = folder / "serve.pid"
    if verb == "start":
        with (folder / "serve.log").open("ab") as log:
            command = [str(ROOT / "deploy/entrypoint")]
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        pid.write_text(str(process.pid))
        tend = [sys.executable, "-m", "tests.system.stand_ins", "tend", os.environ["HOST_OWNER"], str(process.pid)]
        subprocess.Popen(tend, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        _wait(_is_healthy, f"an answer:\n{(folder / 'serve.log').read_text()}")
        return
    assert verb == "stop", verb
    os.kill(int(pid.read_text()), signal.SIGTERM)
    _wait(lambda: not runs(int(pid.read_text())), "its end")
    pid.unlink()


def tend(owner: str, pid: str) -> None:
    """What `systemctl` has started ends with the tests, however they end."""
    while runs(int(pid)):
        if not runs(int(owner)):
            os.kill(int(pid), signal.SIGTERM)
        time.sleep(1)


def runs(pid: int) -> bool:
    """Not the remains of one that nobody has waited for."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_healthy() -> bool:
    try:
        return httpx.get(f"{os.environ['LABLINK_URL']}/api/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _wait(holds: Any, what: str) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


def docker(action: str, *words: str) -> None:
    {"build": _build, "push": _push, "compose": _compose}[action](list(words))


def _build(words: list[str]) -> None:
    parser = ArgumentParser()
    for option in ("--file", "--build-arg", "--tag"):
        parser.add_argument(option, required=True)
    parser.add_argument("context", type=Path)
    asked = parser.parse_args(words)
    assert re.search(rf"^ARG {asked.build_arg.partition('=')[0]}\b", Path(asked.file).read_text(), re.M)
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", Path(asked.file).read_text(), re.M):
        assert all((asked.context / part).exists() for part in copied.split() if not part.startswith("--")), copied
    (Path(os.environ["HOST"]) / "images").write_text(asked.tag)


def _push(words: list[str]) -> None:
    assert words == [(Path(os.environ["HOST"]) / "images").read_text()]


def _compose(words: list[str]) -> None:
    """The file as Compose would read it: each variable has a value, each folder and file is there, LabLink takes its environment."""
    parser = ArgumentParser()
    parser.add_argument("--file", type=Path)
    parser.add_argument("--profile")
    parser.add_argument("action", choices=["up"])
    parser.add_argument("--detach", action="store_true")
    asked = parser.parse_args(words)
    text = re.sub(r"\$\{(\w+):([?-])([^}]*)\}", _interpolate, asked.file.read_text())
    services = YAML(typ="safe").load(text)["services"]
    assert any(asked.profile in service.get("profiles", ()) for service in services.values())
    for volume in (volume for service in services.values() for volume in service["volumes"]):
        source = volume.partition(":")[0]
        assert not source.startswith("/") or Path(source).exists(), f"{source} is not there"
    lines = Path(services["lablink"]["env_file"]).read_text().splitlines()
    told = dict(line.partition("=")[::2] for line in lines)
    os.environ.update(told | {"LABLINK_DEPLOYMENT_SECRET": "0", "LABLINK_ENCRYPTION_KEY": "0"})
    taken = Settings(_env_file=None).model_dump()
    assert str(taken["database_dsn"]) == told["LABLINK_DATABASE_DSN"]


def _interpolate(found: "re.Match[str]") -> str:
    name, kind, words = found.groups()
    assert kind == "-" or name in os.environ, words
    here = words.replace("/etc/lablink", f"{os.environ['HOST']}/etc").replace(
        "/var/lib/lablink", f"{os.environ['HOST']}/var"
    )
    return os.environ.get(name, here)


def aws(service: str, operation: str, *words: str) -> None:
    """AWS's own command makes its options of the names in the same models: https://docs.aws.amazon.com/cli/latest/userguide/"""
    import boto3  # noqa: PLC0415 - a second that no other stand-in waits for
    from botocore import xform_name  # noqa: PLC0415

    make: Any = boto3.client
    client = make(service)
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = {f"--{xform_name(name, '-')}": (name, shape) for name, shape in model.input_shape.members.items()}
    given, left = {}, list(words)
    while left:
        name, shape = members[left.pop(0)]
        given[name] = True if shape.type_name == "boolean" else left.pop(0)
    answer = getattr(client, method)(**given)
    (Path(os.environ["HOST"]) / "made").write_text(str(answer.get("VolumeId", "")))
    print(json.dumps(answer, default=str))


SUDO = '[ "$1" = chown ] && [ "$(id -u)" != 0 ] || exec "$@"'  # only root gives files away
COMMANDS: dict[str, Callable[..., None]] = {"systemctl": systemctl, "docker": docker, "aws": aws, "tend": tend}


def put_on_path(folder: Path) -> None:
    folder.mkdir()
    called = {name: f'exec {sys.executable} -m tests.system.stand_ins {name} "$@"' for name in COMMANDS}
    for name, line in {**called, "sudo": SUDO}.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
