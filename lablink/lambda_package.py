"""The log Lambda's package: a zip with `handler.py` alone, the same bytes whenever and wherever it is made (`make lambda`)."""

import sys
import zipfile
from pathlib import Path

import log_lambda.handler

EPOCH = (1980, 1, 1, 0, 0, 0)  # of the zip format
READABLE = 0o100644 << 16  # a plain file that Lambda's user may read


def write_package(target: Path) -> None:
    """Uncompressed: what a compressor makes depends on its version, and a changed package is a changed function."""
    target.parent.mkdir(parents=True, exist_ok=True)
    entry = zipfile.ZipInfo("handler.py", EPOCH)
    entry.external_attr = READABLE
    entry.create_system = 3  # Unix, also where it is not made there
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(entry, Path(log_lambda.handler.__file__).read_bytes())


if __name__ == "__main__":
    write_package(Path(sys.argv[1]))
