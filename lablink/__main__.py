"""The command `lablink`. Exit status: 0 fine, 1 refused or failed with a sentence on stderr, 2 wrong usage, 130 ended by Ctrl-C."""

import errno
import os
import re
import signal
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lablink.errors import Failed
from schemas.release import VERSION

COMPLETE = "_LABLINK_COMPLETE"
"""Set by a shell that asks how a line could go on; bash hands the line over in another variable than zsh and fish."""
INTERRUPTED = 128 + signal.SIGINT
NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
NOT_ONE_OF = re.compile(r"(?:Value error, )?'(.*)' is not one of (.*?)\.?")
COMMANDS: dict[str, dict[str, str]] = {
    "Run": {
        "up": "programs:up",
        "serve": "programs:serve",
        "api": "programs:api",
        "controller": "programs:controller",
        "migrate": "programs:migrate",
        "keys": "keys:keys",
    },
    "See": {
        "status": "fleet:status",
        "wait": "fleet:wait",
        "vms": "fleet:vms",
        "why": "fleet:why",
        "events": "fleet:events",
        "runs": "records:runs",
        "capacity": "records:capacity",
        "replay": "explain:replay",
        "collect": "files:collect",
        "costs": "money:costs",
        "notify": "notify:notify",
        "simulate": "simulate:simulate",
        "diagram": "diagram:diagram",
    },
    "Change": {
        "scale": "fleet:scale",
        "pause": "fleet:pause",
        "resume": "fleet:resume",
        "retry": "fleet:retry",
        "release": "fleet:release",
        "replace": "fleet:replace",
        "reboot": "fleet:reboot",
        "cordon": "fleet:cordon",
        "uncordon": "fleet:uncordon",
    },
    "Cloud": {"doctor": "doctor.command:doctor", "infra": "infra:infra", "import": "importing:import_"},
    "Recovery": {
        "backup": "backup:backup",
        "restore": "backup:restore",
        "drill": "backup:drill",
        "adopt": "adopt:adopt",
        "adopt-older": "older:adopt_older",
        "rekey": "rekey:rekey",
    },
    "Desired state": {
        "validate": "desired:validate",
        "preview": "desired:preview",
        "apply": "desired:apply",
        "diff": "desired:diff",
        "history": "desired:history",
        "rollback": "desired:rollback",
        "approve": "money:approve",
        "schema": "desired:schema",
        "hash-password": "programs:hash_password",
    },
    "Access": {"tokens": "access:TOKENS", "credentials": "access:CREDENTIALS"},
}


class Suggesting(TyperGroup):
    """Says what was probably meant where a word is none of those that an option takes; commands and options do so by themselves."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = suggest(error.message)
            raise


def suggest(message: str) -> str:
    """`'raed' is not one of 'read', 'admin'.` with the nearest of them."""
    from schemas.values import nearest  # noqa: PLC0415 - pydantic, for which nobody else waits

    found = NOT_ONE_OF.fullmatch(message)
    if found is None:
        return message
    meant = nearest(found[1], re.findall(r"'([^']*)'", found[2]))
    return f"'{found[1]}' is not one of {found[2]}" + (f". Did you mean '{meant}'?" if meant else ".")


def create_app(asked: str | None = None) -> typer.Typer:
    """The command as a whole, or with the `asked` word alone: nobody waits for the imports of what was not asked for."""
    app = typer.Typer(
        name="lablink",
        help="Declare pools of VMs, see them converge, give each user one. Start with `lablink up`.",
        cls=Suggesting,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    known = any(asked in commands for commands in COMMANDS.values())
    for panel, commands in COMMANDS.items():
        for name, place in commands.items():
            if name == asked or not known:
                _add(app, panel, name, "" if COMPLETE in os.environ and not known else place)
    return app


def _add(app: typer.Typer, panel: str, name: str, place: str) -> None:
    module, _, attribute = place.partition(":")
    command = getattr(import_module(f"lablink.{module}"), attribute) if place else _nothing
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name, rich_help_panel=panel)
    else:
        app.command(name, rich_help_panel=panel)(command)


def _nothing() -> None:  # stands for a command while only its name is asked for; a docstring would be shown as its help
    ...


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lablink {VERSION}")
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
    except KeyboardInterrupt:  # while something is imported; later it is typer's, with the same end
        sys.exit(INTERRUPTED)
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
        words = _words()
        create_app(words[0] if words else None)(prog_name="lablink")
    finally:
        sys.stdout.flush()  # here, where a full disk still becomes a sentence


def _words() -> list[str]:
    """What was typed behind `lablink`, also when a shell asks how it could go on."""
    if COMPLETE not in os.environ:
        return sys.argv[1:]
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return line.split()[1:]


def _drop_output() -> None:
    """What could not be written is dropped: the interpreter would try again at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
