"""Keeps moto's world over restarts: all its backends as one pickle, written soon after a change, read at the start.

`sandbox.aws_server` owns it. It touches one file; the file is private and our own, which is why unpickling it is sound.
"""

import importlib
import io
import json
import logging
import marshal
import os
import pickle
import sys
import threading
import time
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moto
from moto.backends import get_backend
from moto.core.base_backend import BackendDict, BaseBackend

log = logging.getLogger(__name__)

World = dict[str, dict[str, dict[str, BaseBackend]]]  # service → account → region

_FORMAT = 1
_COALESCE_S = 0.3  # a burst of calls is written once
_SHARE = 10  # at least this many times the cost of a snapshot passes between two
_AGAIN_S = 2.0  # after a write that failed
_LEFT_OUT = ("moto_api", "instance_metadata")


class Snapshots:
    """Writes the world when it was touched, at most every 0.3 s and for at most a tenth of the time."""

    def __init__(self, path: Path, world_lock: threading.Lock) -> None:
        """`world_lock` is held by every call on moto; a snapshot holds it for 10 to 100 ms."""
        self._path = path
        self._world_lock = world_lock
        self._touched = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._dropped: set[str] = set()

    def restore(self) -> bool:
        """Puts the stored world into moto; False (said in the log) when there is none that this moto can read."""
        if not self._path.exists():
            return False
        try:
            world = self._read()
        except Exception as error:  # a pickle can fail in any way; then the world starts afresh
            aside = self._path.with_suffix(".unreadable")
            self._path.replace(aside)
            log.warning("The stored AWS world cannot be used (%s): starting an empty one, the old is %s.", error, aside)
            return False
        for service, accounts in world.items():
            backends: Any = get_backend(service)  # type: ignore[call-overload]
            for account, regions in accounts.items():
                backends[account].update(regions)
        return True

    def touch(self) -> None:
        """A call changed something."""
        self._touched.set()

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Stores the last state and stops the world: what is under way is never acknowledged, so nothing is lost."""
        self._ending.set()
        self._touched.set()
        self._thread.join()
        self._world_lock.acquire()
        self._store(self._dump(_collect_world()))

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            self._touched.wait()
            if self._ending.wait(max(_COALESCE_S, pause_s)):
                return
            self._touched.clear()
            begun_at = time.monotonic()
            with self._world_lock:
                body = self._dump(_collect_world())
            pause_s = _SHARE * (time.monotonic() - begun_at)
            if not self._store(body):
                pause_s = _AGAIN_S
                self._touched.set()

    def _store(self, body: bytes) -> bool:
        draft = self._path.with_suffix(".draft")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(json.dumps(_stamp()).encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            log.warning("The AWS world could not be stored in %s (%s): free some space.", self._path, error)
            return False
        return True

    def _read(self) -> World:
        with self._path.open("rb") as file:
            stamp = json.loads(file.readline())
            if stamp != _stamp():
                raise ValueError(f"it was written by {stamp}")
            world: World = pickle.load(file)  # noqa: S301 - our own private file
            return world

    def _dump(self, world: World) -> bytes:
        """The whole world in one pickle, as backends refer to each other; a service that cannot is left out, and said."""
        kept = {service: accounts for service, accounts in world.items() if service not in self._dropped}
        try:
            return _pickle(kept)
        except Exception:  # any class of moto may raise anything here
            for service, accounts in kept.items():
                self._drop_if_unpicklable(service, accounts)
            return _pickle({service: accounts for service, accounts in kept.items() if service not in self._dropped})

    def _drop_if_unpicklable(self, service: str, accounts: Any) -> None:
        try:
            _pickle(accounts)
        except Exception as error:
            self._dropped.add(service)
            log.warning("The AWS service %s cannot be stored and starts empty next time: %s", service, error)


def _stamp() -> dict[str, Any]:
    return {"format": _FORMAT, "moto": moto.__version__, "python": ".".join(map(str, sys.version_info[:2]))}


def _collect_world() -> World:
    world: World = {}
    everything: list[BackendDict[BaseBackend]] = list(BackendDict._instances)  # type: ignore[misc]
    for backends in everything:
        if backends.service_name not in _LEFT_OUT:
            world[backends.service_name] = {account: dict(regions) for account, regions in backends.items()}
    return world


class _Pickler(pickle.Pickler):
    """Also takes what moto hangs into its objects: lambdas (by their code), locks (as new ones), and kinds of
    `defaultdict` with a constructor of their own.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, types.FunctionType) and "<" in value.__qualname__:
            cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
            return _revive_function, (marshal.dumps(value.__code__), value.__module__, value.__defaults__, cells)
        if isinstance(value, defaultdict) and type(value) is not defaultdict:
            made_of = (type(value), value.default_factory)
            return _revive_defaultdict, made_of, value.__dict__, None, iter(value.items())
        maker = _LOCKS.get(type(value))
        return NotImplemented if maker is None else (maker, ())


_LOCKS: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
}


def _revive_function(code: bytes, module: str, defaults: tuple[Any, ...] | None, cells: tuple[Any, ...]) -> Any:
    """The stamp holds Python's version, so the code is of this Python."""
    names = vars(importlib.import_module(module))
    closure = tuple(types.CellType(content) for content in cells)
    made = marshal.loads(code)  # noqa: S302 - from our own private file
    return types.FunctionType(made, names, None, defaults, closure)


def _revive_defaultdict(kind: type[defaultdict[Any, Any]], factory: Callable[[], Any] | None) -> Any:
    made = kind.__new__(kind)
    defaultdict.__init__(made, factory)
    return made


def _pickle(world: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(world)
    return buffer.getvalue()
