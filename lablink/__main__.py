"""The command `lablink`. Exit status: 0 fine, 1 refused or failed with a sentence on stderr, 2 wrong usage."""

import errno
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from lablink import (
    access,
    adopt,
    backup,
    desired,
    explain,
    files,
    fleet,
    importing,
    infra,
    keys,
    money,
    notify,
    programs,
    records,
    simulate,
)
from lablink.doctor.command import doctor
from lablink.errors import Failed

NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run": (
        programs.up,
        programs.serve,
        programs.api,
        programs.controller,
        programs.migrate,
        keys.keys,
    ),
    "See": (
        fleet.status,
        fleet.vms,
        fleet.why,
        fleet.events,
        records.runs,
        records.capacity,
        explain.replay,
        files.collect,
        money.costs,
        notify.notify,
        simulate.simulate,
    ),
    "Change": (
        fleet.scale,
        fleet.pause,
        fleet.resume,
        fleet.retry,
        fleet.release,
        fleet.replace,
        fleet.reboot,
        fleet.cordon,
        fleet.uncordon,
    ),
    "Cloud": (doctor, infra.infra, importing.import_),
    "Recovery": (backup.backup, backup.restore, backup.drill, adopt.adopt),
    "Desired state": (
        desired.validate,
        desired.preview,
        desired.apply,
        desired.diff,
        desired.history,
        desired.rollback,
        money.approve,
        desired.schema,
        programs.hash_password,
    ),
}


def create_app() -> typer.Typer:
    app = typer.Typer(
        name="lablink",
        help="Declare pools of VMs, see them converge, give each user one. Start with `lablink up`.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for panel, commands in COMMANDS.items():
        for command in commands:
            app.command(command.__name__.strip("_").replace("_", "-"), rich_help_panel=panel)(command)
    for name, (help_, members) in access.GROUPS.items():
        group = typer.Typer(no_args_is_help=True)
        for word, member in members.items():
            group.command(word)(member)
        app.add_typer(group, name=name, help=help_, rich_help_panel="Access")
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lablink {version('lablink')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before the command."""


def main() -> None:
    try:
        _run()
    except Failed as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # who closes a pipe has seen enough
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in NOT_WRITTEN:
            raise
        _drop_output()
        print(f"Not all could be written ({error.strerror}): make room, or write to another place.", file=sys.stderr)
        sys.exit(1)


def _run() -> None:
    try:
        create_app()(prog_name="lablink")
    finally:
        sys.stdout.flush()  # here, where a full disk still becomes a sentence


def _drop_output() -> None:
    """What could not be written is dropped: the interpreter would try again at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
