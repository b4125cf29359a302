"""One look at a client VM, told to the allocator: heartbeat, gauges, GPU health, whether the software runs, and what
became of the Chrome Remote Desktop (CRD) command. A systemd timer starts it on the VM every 15 seconds, as root; it
keeps what the next look needs in /var/lib/lablink/reporter.json. Standard library only, Python 3.10 or newer.

The client in the container runs one command and exits, whether or not it worked: `decide_delivery` starts it again when
the allocator has a newer one. Only calls that the allocator took are remembered as said, the others are said again.

When its person is gone the VM may go to another one: then the token is refused, `renew` asks for the new one by a key that
no container sees, and `make_ready` starts a new container in place of the old one.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

CONTAINER = "lablink-client"
PATIENCE_LOOKS = 6  # 90 s: longer than CRD's registration takes, shorter than a user waits
METADATA = "http://169.254.169.254"  # LABLINK_METADATA in tests
ENV_PATH, MEMORY_PATH = "etc/lablink/client.env", "var/lib/lablink/reporter.json"
KEY_PATH = "var/lib/lablink/renewal.key"
CRD_HOST = re.compile(r"chrome-remote-desktop-host|chrome-remote-desktop --start")
SUBSCRIBE = re.compile(r"(^|[/\s])subscribe(\s|$)")
SUBSCRIBE_COMMAND = 'PATH="/home/client/.venv/bin:/home/client/miniforge3/bin:$PATH"; exec subscribe >/proc/1/fd/1 2>&1'


@dataclass
class Memory:
    """What one look leaves to the next. Command versions count up; 0 is none."""

    offered: int = 0  # the version that a subscribe process was last there to take
    delivered: int | None = None  # the version after whose taking CRD was seen to run
    looks: int = 0  # in a row that the offered version has not been delivered
    said: dict[str, Any] = field(default_factory=dict)
    cpu: tuple[int, int] = (0, 0)  # busy and all ticks since boot
    answered_at: float = 0.0  # when the allocator last took a heartbeat
    renewing: str = ""  # `keep` or `reboot`: a new container is due, after a reboot
    renewed_in: str = ""  # the boot in which it became due


@dataclass(frozen=True)
class Process:
    pid: int
    args: str


def decide_delivery(memory: Memory, version: int, processes: list[Process]) -> str:
    """What to do with subscribe: `start`, `end` or `leave` it; `memory` takes note. `version` 0: nobody is assigned.

    Codes are for single use, so a second subscribe never starts beside a living one, nor while the image may still be
    about to start its own. One that lives on without result hangs in a connection that only it believes in.
    """
    if version in (0, memory.delivered):
        memory.looks = 0
        return "leave"
    alive = any(SUBSCRIBE.search(process.args) for process in processes)
    connected = any(CRD_HOST.search(process.args) for process in processes)
    untried = memory.offered not in (0, version)
    memory.looks = 1 if untried else memory.looks + 1
    step = "leave"
    if alive:
        memory.offered = version
        step = "end" if memory.looks >= PATIENCE_LOOKS else "leave"
    elif untried or (memory.looks >= PATIENCE_LOOKS and not connected):
        memory.offered = version
        step = "start"
    elif connected:
        memory.offered = memory.delivered = version
    if step == "start":
        memory.looks = 0
    return step


def read_environment(path: Path) -> dict[str, str]:
    """The lines KEY=VALUE of client.env, values as they are."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def read_memory(path: Path) -> Memory:
    """A file that is missing or cut off (the VM lost power) is an empty memory."""
    try:
        known = json.loads(path.read_text())
        return Memory(**{f.name: known[f.name] for f in fields(Memory) if f.name in known})
    except (OSError, ValueError, AttributeError, TypeError):
        return Memory()


def write_private(path: Path, text: str) -> None:
    """All of it or nothing, for root alone."""
    draft = path.with_suffix(".new")
    draft.touch(0o600)
    draft.write_text(text)
    draft.replace(path)


def take_key(path: Path) -> str:
    """What only this host knows, drawn once: the last person's container cannot ask for the next one's token."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text()


def write_memory(root: Path, memory: Memory) -> None:
    write_private(root / MEMORY_PATH, json.dumps(asdict(memory)))


def run(*command: str, patience_s: float = 20) -> str | None:
    """Its output, or None when it failed, hung or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{' '.join(command[:3])}: {error}")
        return None
    return done.stdout


def read_processes() -> list[Process] | None:
    """The container's, with the host's process numbers; None when it does not run."""
    table = run("docker", "top", CONTAINER, "-eo", "pid,args")
    if table is None:
        return None
    rows = (line.split(None, 1) for line in table.splitlines()[1:])
    return [Process(int(row[0]), row[1]) for row in rows if len(row) == 2 and row[0].isdigit()]


def read_in_use(software: str, processes: list[Process] | None) -> bool | None:
    """Whether a process names the software, as the client image's own watcher has it; None when nobody can tell.
    Processes of the LabLink client name it, too, as `client.software=…`."""
    if processes is None or not software:
        return None
    return any(software in process.args and "client.software=" not in process.args for process in processes)


def read_gauges(memory: Memory) -> dict[str, float]:
    """Percentages of the host: CPU since the look before, memory, root disk."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy, every = sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    busy_before, every_before = memory.cpu if memory.cpu[1] < every else (0, 0)
    memory.cpu = (busy, every)
    memory_kb = {key: int(value.split()[0]) for key, value in _lines("/proc/meminfo", ":")}
    disk = shutil.disk_usage("/")
    return {
        "cpu_percent": _percent(busy - busy_before, every - every_before),
        "memory_percent": _percent(memory_kb["MemTotal"] - memory_kb["MemAvailable"], memory_kb["MemTotal"]),
        "disk_usage": _percent(disk.used, disk.total),
    }


def _lines(path: str, separator: str) -> list[tuple[str, str]]:
    pairs = (line.partition(separator) for line in Path(path).read_text().splitlines())
    return [(key, value) for key, found, value in pairs if found]


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def read_gpu(expected: bool) -> tuple[str, dict[str, float]]:
    """Health as of `POST /api/gpu_health`, and gauges: the busiest and hottest GPU, MiB over all of them."""
    if not expected:
        return "N/A", {}
    table = run(
        "nvidia-smi", "--query-gpu=utilization.gpu,memory.used,temperature.gpu", "--format=csv,noheader,nounits"
    )
    rows = [[float(cell) for cell in re.findall(r"[\d.]+", line)] for line in (table or "").splitlines()]
    if not rows:
        return "Unhealthy", {}
    if any(len(row) != 3 for row in rows):  # "[N/A]": a type that cannot measure all
        return "Healthy", {}
    use, used, heat = zip(*rows, strict=True)
    return "Healthy", {"gpu_utilization": max(use), "gpu_memory_used": sum(used), "gpu_temperature": max(heat)}


def read_reclaim(spot: bool) -> str | None:
    """When EC2 takes this spot instance back, from two minutes before. The address answers 404 until then.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""
    if not spot:
        return None
    base = os.environ.get("LABLINK_METADATA") or METADATA
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with urllib.request.urlopen(
            urllib.request.Request(f"{base}/latest/api/token", method="PUT", headers=seconds), timeout=2
        ) as response:
            token = {"X-aws-ec2-metadata-token": response.read().decode()}
        notice = urllib.request.Request(f"{base}/latest/meta-data/spot/instance-action", headers=token)
        with urllib.request.urlopen(notice, timeout=2) as response:
            return str(json.loads(response.read())["time"])
    return None


def is_abandoned(memory: Memory, now: float, patience_s: float) -> bool:
    """Whether the allocator has not answered for that long. A clock that was set back begins anew."""
    if not 0.0 < memory.answered_at <= now:
        memory.answered_at = now
    return now - memory.answered_at > patience_s > 0


class Allocator:
    """The allocator as this VM sees it. No call raises: the next look tries again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.url = environment["ALLOCATOR_URL"].rstrip("/")
        self.hostname = environment["VM_NAME"]
        self._token = environment["API_TOKEN"]
        self.refused = False  # the token does not hold any more

    def get(self, path: str) -> dict[str, Any] | None:
        return self._call(urllib.request.Request(self.url + path))

    def post(self, path: str, body: dict[str, Any]) -> bool:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        return self._call(request) is not None

    def say_once(self, memory: Memory, path: str, body: dict[str, Any], now: object) -> None:
        """Posts what `memory` does not hold as said; `now` is what makes two sayings equal."""
        if memory.said.get(path) != now and self.post(path, {"hostname": self.hostname, **body}):
            memory.said[path] = now

    def renew(self, key: str) -> dict[str, Any] | None:
        body = json.dumps({"key": key}).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/client/{self.hostname}/renew", body, method="POST")
        request.add_header("Content-Type", "application/json")
        return self._call(request)

    def _call(self, request: urllib.request.Request) -> dict[str, Any] | None:
        request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            self.refused = self.refused or error.code == 401
            if error.code != 404:  # an older allocator, which lacks what this one asks for
                print(f"{request.selector}: {error}")
            return None
        except (OSError, ValueError) as error:
            print(f"{request.selector}: {error}")
            return None
        return answer if isinstance(answer, dict) else {}


def deliver(allocator: Allocator, memory: Memory, processes: list[Process] | None) -> None:
    """Brings a newer CRD command into the container, where the client there will not fetch it by itself."""
    known = allocator.get(f"/api/v1/client/{allocator.hostname}")
    if known is None or processes is None:
        return
    version = known.get("code_version") if known.get("assigned") else 0
    step = decide_delivery(memory, version if isinstance(version, int) else 0, processes)
    if step == "start":
        run("docker", "exec", "--detach", CONTAINER, "sh", "-c", SUBSCRIBE_COMMAND)
    elif step == "end":
        for process in processes:
            if SUBSCRIBE.search(process.args):
                with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                    os.kill(process.pid, signal.SIGTERM)


def renew(root: Path, memory: Memory, allocator: Allocator, boot_id: str) -> Memory:
    """Takes the new token. What is due is remembered before it is used, so that no power loss leaves the old container with it."""
    answer = allocator.renew(take_key(root / KEY_PATH))
    token = answer.get("token") if answer else None
    if not isinstance(token, str):
        return memory
    if answer and answer.get("renewing"):
        memory = Memory(cpu=memory.cpu, answered_at=memory.answered_at, renewing=answer["renewing"], renewed_in=boot_id)
        write_memory(root, memory)
    env_path = root / ENV_PATH
    lines = [line for line in env_path.read_text().splitlines() if not line.startswith("API_TOKEN=")]
    write_private(env_path, "\n".join([*lines, f"API_TOKEN={token}", ""]))
    return memory


def make_ready(root: Path, memory: Memory, boot_id: str) -> None:
    """Ends the last person's container; the next one starts at once, or after the reboot that is asked for."""
    run("docker", "rm", "--force", CONTAINER, patience_s=45)
    if memory.renewing == "reboot" and memory.renewed_in == boot_id:
        print("its person is gone: this VM reboots for the next one")
        run("systemctl", "reboot")
    elif run("bash", str(root / "usr/local/lib/lablink/run_container.sh"), patience_s=45) is not None:
        print("its person is gone: a new container waits for the next one")
        memory.renewing = ""


def look(root: Path) -> None:
    environment = read_environment(root / ENV_PATH)
    status_path = root / "var/lib/lablink/status"
    memory = read_memory(root / MEMORY_PATH)
    allocator = Allocator(environment)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    processes = read_processes()
    in_use = read_in_use(environment["SUBJECT_SOFTWARE"], processes)
    gpu_status, gpu_gauges = read_gpu(environment["LABLINK_GPU"] == "true")
    gauges = {**read_gauges(memory), **gpu_gauges}
    deliver(allocator, memory, processes)
    heartbeat = {"code_version_delivered": memory.delivered, "in_use": in_use, "boot_id": boot_id, "gauges": gauges}
    if reclaim_at := read_reclaim(environment.get("LABLINK_SPOT") == "true"):
        heartbeat["reclaim_at"] = reclaim_at
    heartbeat["renewal_key"] = hashlib.sha256(take_key(root / KEY_PATH).encode()).hexdigest()
    if allocator.post(f"/api/v1/client/{allocator.hostname}/heartbeat", heartbeat):
        memory.answered_at = time.time()
    connected = any(CRD_HOST.search(process.args) for process in processes or [])
    abandoned = is_abandoned(memory, time.time(), float(environment.get("LABLINK_ABANDONED_S") or 0))

    if status_path.exists():  # setup.sh writes it when all is up; after a reboot it is due again
        status = status_path.read_text().strip()
        allocator.say_once(memory, "/api/vm-status", {"status": status}, [boot_id, status])
    allocator.say_once(memory, "/api/gpu_health", {"gpu_status": gpu_status, **gpu_gauges}, gpu_status)
    if in_use is not None:
        allocator.say_once(memory, "/api/update_inuse_status", {"status": in_use}, in_use)

    if allocator.refused:
        memory = renew(root, memory, allocator, boot_id)
    write_memory(root, memory)
    if memory.renewing:
        make_ready(root, memory, boot_id)
        write_memory(root, memory)
    if abandoned and not in_use and not connected:
        print("the allocator has been silent for too long, and nobody uses this VM: it shuts down")
        run("systemctl", "poweroff")


if __name__ == "__main__":
    look(Path(os.environ.get("LABLINK_ROOT") or "/"))
