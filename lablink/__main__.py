"""The command `lablink`. Exit status: 0 fine, 1 refused or failed with a sentence on stderr, 2 wrong usage."""

import sys

import typer

from lablink import desired, fleet, programs
from lablink.errors import Failed

COMMANDS = {
    "Run": (
        programs.up,
        programs.serve,
        programs.api,
        programs.controller,
        programs.migrate,
    ),
    "See": (fleet.status, fleet.vms, fleet.why, fleet.events),
    "Change": (fleet.scale, fleet.pause, fleet.resume, fleet.retry),
    "Desired state": (
        desired.validate,
        desired.preview,
        desired.apply,
        desired.diff,
        desired.history,
        desired.rollback,
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
    for panel, commands in COMMANDS.items():
        for command in commands:
            app.command(command.__name__.replace("_", "-"), rich_help_panel=panel)(command)
    return app


def main() -> None:
    try:
        create_app()(prog_name="lablink")
    except Failed as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
