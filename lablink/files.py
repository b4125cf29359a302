"""The command `collect`: the files of people's work from all VMs, as one ZIP."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from lablink.client import LabLink, download, find_server
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.output import print_json, print_line

PATH = "/api/scp-client"


def collect(
    target: Annotated[Path, typer.Argument(metavar="[FILE]", help="The ZIP to write.")] = Path("lablink-files.zip"),
    pool: Annotated[str | None, typer.Option(help="Only from VMs of this pool.")] = None,
    vm: Annotated[str | None, typer.Option(help="Only from this VM.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the files with the pool's `extension` from every VM that somebody has, into one ZIP.

    What a VM does not give is named in the ZIP's `_errors.txt`.
    """
    if target.exists() and not force:
        raise Failed(f"{target} is there already: name another file, or write over it with --force.")
    params = {name: value for name, value in (("pool", pool), ("hostname", vm)) if value}
    size = _fetch(target, params)
    if as_json:
        print_json({"file": str(target), "bytes": size})
    else:
        print_line(f"{target} has {size:,} bytes.", "green")


def _fetch(target: Path, params: dict[str, str]) -> int:
    """Beside its place first: a ZIP that was cut off must not look like a whole one."""
    draft = target.with_name(f".{target.name}.part")
    size = 0
    try:
        with LabLink(find_server()) as lablink, draft.open("wb") as file, _progress() as progress:
            task = progress.add_task("collecting", total=None)
            for count in download(lablink, PATH, params, file):
                size += count
                progress.update(task, completed=size)
        os.replace(draft, target)
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
            raise Failed(f"{target} cannot be written: {error.strerror}.") from None
        raise
    finally:
        draft.unlink(missing_ok=True)
    return size


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, transient=True, disable=not sys.stderr.isatty())
