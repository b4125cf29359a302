"""The process that is AWS in the sandbox: moto's server on loopback with the fault injector in front of it.

Started by `sandbox.aws`, which has set the environment that moto reads when it is imported. It keeps its world in one
file of its folder and ends on SIGTERM, SIGINT or the end of its parent process.
"""

import json
import logging
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from werkzeug.serving import make_server

from sandbox.aws_snapshot import Snapshots
from sandbox.fault_injector import PREFIX, FaultInjector
from sandbox.faults import Faults
from sandbox.moto_server import MotoCalls, QuietHandler

LABLINK_AMI = "ami-0601752c11b394251"
_ENDED_AT = re.compile(r"\(([\d-]+ [\d:]+) UTC\)")
_LOOK_S = 0.5  # how long a dead parent can go unnoticed


def serve(listening: socket.socket, folder: Path, region: str, parent: int, forget_s: float) -> None:
    """Serves until told to end; says where on stdout, as one line of JSON, once it answers."""
    ending = _watch_signals()
    warnings.filterwarnings("ignore", module="moto")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    world_lock = threading.Lock()
    snapshots = Snapshots(folder / "aws.pickle", world_lock)
    if not snapshots.restore():
        _register_ami(ec2_backends[DEFAULT_ACCOUNT_ID][region])
    moto = MotoCalls(world_lock)
    injector = FaultInjector(moto, Faults(time.monotonic), world_lock, snapshots.touch, _harm_instance)
    host, port = listening.getsockname()
    server = make_server(host, port, injector, threaded=True, request_handler=QuietHandler, fd=listening.fileno())
    url = f"http://{host}:{port}"
    snapshots.start()
    threading.Thread(target=server.serve_forever, args=(0.05,), name="server", daemon=True).start()
    print(json.dumps({"url": url, "fault_url": url + PREFIX, "region": region, "pid": os.getpid()}), flush=True)
    for _ in _tick_until_end(ending, parent):
        with world_lock:
            forgotten = _forget_terminated(forget_s)
        if forgotten:
            snapshots.touch()
    injector.stop()
    server.shutdown()
    snapshots.finish()


def _watch_signals() -> SimpleQueue[int]:
    """SIGTERM and SIGINT go into this queue, which unlike an Event may be filled by a handler at any moment."""
    ending: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: ending.put(received))
    return ending


def _tick_until_end(ending: SimpleQueue[int], parent: int) -> Iterator[None]:
    """Yields now and then until a signal came or the parent is no longer the one that started us."""
    while os.getppid() == parent:
        try:
            ending.get(timeout=_LOOK_S)
            return
        except Empty:
            yield


def _register_ami(backend: EC2Backend) -> None:
    """LabLink's AMI can be described; any other id can be launched as well, moto does not look it up."""
    backend.amis[LABLINK_AMI] = Ami(
        backend,
        LABLINK_AMI,
        name="lablink-client",
        description="Stand-in for the AMI of LabLink's client VMs",
        public=True,
        virtualization_type="hvm",
        architecture="x86_64",
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name="/dev/sda1",
    )


def _forget_terminated(after_s: float) -> int:
    """Does what EC2 does and moto does not, or a sandbox of weeks lists thousands of dead; returns how many went."""
    latest = datetime.now(UTC) - timedelta(seconds=after_s)
    forgotten = 0
    for backend in list(ec2_backends[DEFAULT_ACCOUNT_ID].values()):
        for key, reservation in list(backend.reservations.items()):
            gone = [instance for instance in reservation.instances if _ended_before(instance, latest)]
            forgotten += len(gone)
            reservation.instances = [instance for instance in reservation.instances if instance not in gone]
            if not reservation.instances:
                del backend.reservations[key]
    return forgotten


def _ended_before(instance: Any, latest: datetime) -> bool:
    """moto keeps the time of the end only in the reason: `User initiated (2026-01-31 09:30:00 UTC)`."""
    match = _ENDED_AT.search(instance.state_transition_reason or "")
    if instance.state != "terminated" or match is None:
        return False
    return datetime.fromisoformat(match[1]).replace(tzinfo=UTC) <= latest


def _harm_instance(verb: str, instance_id: str) -> bool:
    """Terminates or stops an instance of any region; the caller holds the lock of the world."""
    for backend in list(ec2_backends[DEFAULT_ACCOUNT_ID].values()):
        instance = backend.get_instance_by_id(instance_id)
        if instance is not None:
            _ = instance.terminate() if verb == "kill" else instance.stop()
            return True
    return False
