"""Commands that run something here: `up`, `serve`, `api`, `controller`, `migrate`; and `hash-password`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import anyio
import bcrypt
import psycopg
import typer
from anyio import to_thread
from pydantic import ValidationError

from lablink.beside import find_part
from lablink.children import Child, Program
from lablink.client import data_folder
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.host import advise, fetch_password, hold_postgres, keep_password, tell_token
from lablink.letters import keep_drained
from lablink.output import print_json, print_line
from lablink.ports import check_port
from sandbox.options import BootSeconds, Options
from schemas.lab_schema import render_lab_schema
from schemas.settings import Settings
from store.log import redact, set_up_log
from store.migrate import migrate as migrate_database

MIN_PASSWORD = 8
MAX_PASSWORD_BYTES = 72  # bcrypt reads no further, and since 5.0 refuses


def read_settings() -> Settings:
    """The environment's settings; raises `Failed` with a line for each that is missing or wrong."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [_setting_problem(problem["loc"], problem["msg"]) for problem in error.errors()]
        raise Failed("The environment is not complete.\n" + "\n".join(lines)) from None


def _setting_problem(place: tuple[int | str, ...], message: str) -> str:
    name = "LABLINK_" + str(place[0]).upper() if place else "LABLINK_KEYS"
    return f"{name}: {message.removeprefix('Value error, ')}"


def up(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder of the data [default: LABLINK_DATA or .lablink].")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 picks a free one.", min=0, max=65535)] = 5000,
    file: Annotated[
        Path | None,
        typer.Option(help="What should exist [default: lablink.yaml; an example, where nothing is there yet]."),
    ] = None,
    boot_seconds: Annotated[str, typer.Option(metavar="A..B", help="How long a simulated VM boots.")] = "3..10",
    provider: Annotated[
        Literal["stand-in", "registry"], typer.Option(help="Terraform's AWS provider: ours, or the real one.")
    ] = "stand-in",
    clients: Annotated[
        Literal["simulated", "none"], typer.Option(help="Whether simulated client VMs run in the instances.")
    ] = "simulated",
    no_ui_browser: Annotated[bool, typer.Option("--no-ui-browser", help="Open no browser.")] = False,
) -> None:
    """Run the whole system on this machine.

    Everything outside (AWS, client VMs) is replaced. Ctrl-C stops all of it; the data stay, and the next start goes on.
    """
    # boto3 and gRPC take a second to load: no other command waits for them.
    from sandbox.up import run_sandbox  # noqa: PLC0415

    data, document = (data or data_folder()).absolute(), (file or Path("lablink.yaml")).absolute()
    if file is None and not document.exists() and not data.exists():
        _write_example(document)
    options = Options(
        data=data,
        port=port,
        file=document,
        boot=_boot_range(boot_seconds),
        stand_in=provider == "stand-in",
        simulated=clients == "simulated",
        browser=not no_ui_browser,
    )
    asyncio.run(run_sandbox(options))


def _write_example(document: Path) -> None:
    """Something to begin with, and the schema by which editors complete it. Where there are data already, their document is missed instead."""
    document.write_bytes(find_part("lablink.yaml").read_bytes())
    document.with_name("lablink.schema.json").write_text(render_lab_schema())
    print(f"There was no {document.name}: an example is in its place now.")


def _boot_range(text: str) -> BootSeconds:
    try:
        return BootSeconds.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--boot-seconds") from None


def serve() -> None:
    """Migrate, then run API and controller.

    Both are kept running; SIGTERM ends them in order. Settings: LABLINK_… variables. With LABLINK_POSTGRES_DIR, PostgreSQL
    runs here, too.
    """
    anyio.run(_serve)


async def _serve() -> None:
    set_up_log()
    async with hold_postgres(os.environ.get("LABLINK_POSTGRES_DIR")):
        fetch = await fetch_password(
            os.environ.get("LABLINK_DATABASE_SECRET"), Path(os.environ.get("LABLINK_KEYS", "."))
        )
        settings = read_settings()
        redact.learn(settings)
        check_port(settings.host, settings.port, "set another one in LABLINK_PORT")
        await to_thread.run_sync(_migrate, settings)
        async with anyio.create_task_group() as beside:
            if fetch:
                beside.start_soon(keep_password, fetch)
            beside.start_soon(tell_token, os.environ.get("LABLINK_LAMBDA"), settings.log_token.get_secret_value())
            beside.start_soon(keep_drained, os.environ.get("LABLINK_DEAD_LETTERS"), settings)
            await _run_programs(settings)
            beside.cancel_scope.cancel()


async def _run_programs(settings: Settings) -> None:
    """Until SIGTERM or SIGINT, and the end of both."""
    environment = dict(os.environ)
    controller = Child(
        Program(
            "controller",
            (sys.executable, "-m", "controller"),
            environment,
            patience_s=settings.terraform_grace_s + 60,  # then Terraform gets SIGINT and has its own time to end
        ),
        _say,
    )
    api = Child(Program("API", (sys.executable, "-m", "api"), environment), _say)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(api.keep)
        tasks.start_soon(controller.keep)
        await _wait_for_end()
        _say("stopping: the controller first, which lets a running apply end")
        await controller.stop()
        await api.stop()


async def _wait_for_end() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _number in signals:
            return


def _say(sentence: str) -> None:
    print(f"lablink: {sentence}", file=sys.stderr, flush=True)


def api() -> None:
    """Run the API alone."""
    _become("api")


def controller() -> None:
    """Run the controller alone.

    Several may run: one leads, the others stand by.
    """
    _become("controller")


def _become(package: str) -> None:
    """In place of this process, so that signals reach the program itself."""
    read_settings()
    os.execv(sys.executable, [sys.executable, "-m", package])  # noqa: S606 - no shell is wanted


def migrate(as_json: Json = False) -> None:
    """Bring the database to the newest schema.

    Repeating it is harmless.
    """
    applied = _migrate(read_settings())
    if as_json:
        print_json({"applied": applied})
    else:
        print_line(f"Applied: {', '.join(applied)}." if applied else "The database is up to date.", "green")


def _migrate(settings: Settings) -> list[str]:
    try:
        return anyio.run(migrate_database, settings.database_dsn)
    except psycopg.Error as error:
        sentence = " ".join(str(error).split())
        raise Failed(
            f"The database cannot be brought up to date: {sentence} (LABLINK_DATABASE_DSN){advise(sentence)}."
        ) from None


def hash_password() -> None:
    """Print the bcrypt hash of a password.

    It is for `admin.password_hash` of lablink.yaml. The password is asked for, or read from standard input.
    """
    password = _read_password()
    if len(password) < MIN_PASSWORD:
        raise Failed(f"The password has {len(password)} characters; {MIN_PASSWORD} or more are wanted.")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise Failed(
            f"The password is longer than the {MAX_PASSWORD_BYTES} bytes that bcrypt reads: choose a shorter one."
        )
    print(bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode())


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
