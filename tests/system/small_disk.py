"""A disk of two megabytes for one folder: a mounted tmpfs where that is allowed, else a limit on what a process may write."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PIECE = bytes(4096)


@dataclass
class SmallDisk:
    """`pid` is the process that stands for the disk where none could be mounted; its children inherit the limit."""

    folder: Path
    mounted: bool
    pid: int = 0

    def limit(self, pid: int) -> None:
        self.pid = pid

    def fill(self) -> None:
        """Not a byte more can be written."""
        if not self.mounted:
            self._limit_to(1)
            return
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(PIECE)
            except OSError:
                os.fsync(ballast.fileno())

    def free(self) -> None:
        if self.mounted:
            (self.folder / "ballast").unlink()
        else:
            self._limit_to(resource.RLIM_INFINITY)

    def _limit_to(self, size: int) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def open_small_disk(folder: Path) -> Iterator[SmallDisk]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
