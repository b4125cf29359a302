"""A ZIP that is sent while it is made: nothing of it is kept but its directory. Names from outside are made safe."""

import re
import unicodedata
import zipfile
from dataclasses import dataclass, field
from typing import IO, cast

from anyio import CapacityLimiter, to_thread

FAST = 1  # files of scientific data are often compressed by themselves
LONGEST_PART = 200  # bytes; file systems take 255
MOST_PARTS = 40
# Signs that some system cannot have in a name, and marks that turn text around (U+202A to U+202E, U+2066 to U+2069).
UNSAFE = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
# Windows takes these for devices. https://learn.microsoft.com/windows/win32/fileio/naming-a-file
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\..*)?", re.IGNORECASE)


class _Sink:
    """What was written and not taken yet. It cannot be sought in, so zipfile writes sizes behind the content."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def take(self) -> bytes:
        written, self._written = b"".join(self._written), []
        return written


@dataclass
class ZipStream:
    """Each call answers with the bytes that are to be sent now. Compresses in a worker thread, so that held calls go on."""

    threads: CapacityLimiter
    _sink: _Sink = field(default_factory=_Sink)

    def __post_init__(self) -> None:
        sink = cast(IO[bytes], self._sink)  # of which zipfile wants `write` and `flush` alone
        self._zip = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=FAST)
        self._open: IO[bytes] | None = None

    def begin(self, name: str) -> bytes:
        """A file begins; its size need not be known, and may be beyond 4 GiB."""
        self._open = self._zip.open(name, "w", force_zip64=True)
        return self._sink.take()

    async def add(self, chunk: bytes) -> bytes:
        assert self._open  # between `begin` and `end`
        await to_thread.run_sync(self._open.write, chunk, limiter=self.threads)
        return self._sink.take()

    def end(self) -> bytes:
        assert self._open
        self._open.close()
        return self._sink.take()

    def close(self) -> bytes:
        """The directory, and with it the end."""
        self._zip.close()
        return self._sink.take()


@dataclass
class SafeNames:
    """Names within a ZIP that leave its folder on no system, none twice."""

    taken: set[str] = field(default_factory=set)

    def choose(self, folder: str, path: str) -> str:
        parts = [_safe_part(part) for part in path.split("/") if part not in ("", ".", "..")][-MOST_PARTS:]
        *above, last = parts or ["_"]
        name, number = "/".join([folder, *above, last]), 1
        while _fold(name) in self.taken:
            number += 1
            name = "/".join([folder, *above, f"{number}-{last}"])
        self.taken.add(_fold(name))
        return name


def _fold(name: str) -> str:
    """To some systems A and a are one, and so are both ways to write é."""
    return unicodedata.normalize("NFKC", name).casefold()


def _safe_part(part: str) -> str:
    clean = UNSAFE.sub("_", part)
    clean = clean.encode()[-LONGEST_PART:].decode(errors="ignore").rstrip(". ") or "_"  # the end has the extension
    return f"_{clean}" if RESERVED.fullmatch(clean) else clean
