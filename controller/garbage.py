"""Python's garbage collector, held back while a listing is read: what botocore makes meanwhile is a tree without cycles, which goes
by its reference counts, and to look through all of it takes 50 ms in which no other thread runs."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Collector:
    """Of this process, shared by its threads: it collects again once nobody holds it back."""

    _holding: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._holding += change
            (gc.disable if self._holding else gc.enable)()
