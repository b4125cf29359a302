"""One backup as a file: named parts, each a stream of chunks, sealed one by one under the deployment's encryption key.

Nothing of it is ever on a disk unsealed, and a file that was cut short, reordered or changed does not open. Used by `lablink.backup`.
"""

import os
from collections.abc import Iterator
from typing import IO

from lablink.errors import Failed
from store.secret import Cipher, SecretError

MAGIC = b"LABLINK-BACKUP-1\n"
CHUNK = 1 << 20
MOST = CHUNK + 1024  # of a sealed frame
ID_BYTES = 16
PART, DATA, END = b"P", b"D", b"E"


class BackupWriter:
    """Writes parts in order; `end` says that all of it is there."""

    def __init__(self, file: IO[bytes], cipher: Cipher) -> None:
        self._file, self._cipher, self._number = file, cipher, 0
        identity = os.urandom(ID_BYTES)
        self._name = identity.hex()
        file.write(MAGIC + identity)

    def begin(self, part: str) -> None:
        self._frame(PART, part.encode())

    def write(self, content: bytes) -> None:
        for start in range(0, len(content), CHUNK):
            self._frame(DATA, content[start : start + CHUNK])

    def end(self) -> None:
        self._frame(END, b"")

    def _frame(self, kind: bytes, content: bytes) -> None:
        sealed = self._cipher.seal(f"backup {self._name} {self._number}", kind + content)
        self._number += 1
        self._file.write(len(sealed).to_bytes(4, "big") + sealed)


def read_backup(file: IO[bytes], cipher: Cipher) -> Iterator[tuple[str, bytes]]:
    """(part, chunk) in order; an empty chunk begins each part. Raises `Failed` for what is no whole backup of this key."""
    if file.read(len(MAGIC)) != MAGIC:
        raise Failed("This file is no backup of LabLink.")
    name, part, number = file.read(ID_BYTES).hex(), "", 0
    while True:
        kind, content = _open_frame(file, cipher, f"backup {name} {number}")
        number += 1
        if kind == END:
            return
        if kind == PART:
            part, content = content.decode(), b""
        yield part, content


def _open_frame(file: IO[bytes], cipher: Cipher, name: str) -> tuple[bytes, bytes]:
    length = int.from_bytes(file.read(4), "big")
    sealed = file.read(length) if 0 < length <= MOST else b""
    if not sealed or len(sealed) != length:
        raise Failed("This backup is cut short or damaged: take another one.")
    try:
        plain = cipher.open(name, sealed)
    except SecretError:
        raise Failed(
            "This backup does not open: it is damaged, or was made under another encryption key (LABLINK_KEYS)."
        ) from None
    return plain[:1], plain[1:]
