"""Commands about who may: `lablink tokens …` for programs that call the API, `lablink credentials …` for the AWS keys it works with.

A secret is read from the terminal or from standard input, never from the arguments, which every process of a machine can see.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.output import local_time, on_terminal, print_json, print_line, print_table

TOKEN_COLUMNS = ("name", "scope", "created_by", "created_at", "expires_at", "last_used_at")
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="What the token is for, such as nightly-report.")]


def list_tokens(as_json: Json = False) -> None:
    """List the API tokens; their texts are known to their holders alone."""
    with LabLink(find_server()) as lablink:
        page = lablink.get("/tokens")
    if as_json:
        print_json(page)
    elif page["items"]:
        print_table(TOKEN_COLUMNS, ([_cell(token, column) for column in TOKEN_COLUMNS] for token in page["items"]))
    else:
        print_line("There is no API token.")


def _cell(token: dict[str, Any], column: str) -> Any:
    return local_time(token[column]) if column.endswith("_at") else token[column]


def create(
    name: TokenName,
    scope: Annotated[
        Literal["read", "operate", "admin"],
        typer.Option(help="read: look; operate: also pools and VMs; admin: also the document, tokens, credentials."),
    ] = "read",
    expires: Annotated[str | None, typer.Option(metavar="DURATION", help="Such as 90d; without it, never.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API token and print it, this once. Programs bring it in LABLINK_TOKEN or as `Authorization: Bearer`."""
    with LabLink(find_server()) as lablink:
        made = lablink.call("POST", "/tokens", json={"name": name, "scope": scope, "expires_in": expires})
    if as_json:
        print_json(made)
        return
    print(made["token"])  # alone on standard output, so that a script can take it
    until = f"until {local_time(made['expires_at'])}" if made["expires_at"] else "until it is revoked"
    if on_terminal():
        print_line(f"Token {name} may {scope}, {until}. It is not shown again.", "green")


def revoke(name: TokenName, as_json: Json = False) -> None:
    """Revoke an API token, at once and for good."""
    with LabLink(find_server()) as lablink:
        answer = lablink.call("DELETE", "/tokens" + path_of(name))
    _print_message(answer, as_json)


def show(as_json: Json = False) -> None:
    """Show whose AWS keys LabLink works with."""
    with LabLink(find_server()) as lablink:
        found = lablink.get("/credentials")
    if as_json:
        print_json(found)
    elif found["set"]:
        kind = "temporary key" if found["temporary"] else "key"
        print_line(f"{kind} {found['access_key_id']} of {found['arn']}")
        print_line(f"set {local_time(found['set_at'])} by {found['set_by']}")
    else:
        print_line(f"{found['message'][:1].upper()}{found['message'][1:]}.")
    if not as_json and found["pinned_account_id"]:
        print_line(f"this deployment lives in AWS account {found['pinned_account_id']}")


def set_keys(
    access_key_id: Annotated[
        str | None, typer.Argument(metavar="ACCESS_KEY_ID", help="The id alone; the secret is asked for.")
    ] = None,
    session_token: Annotated[
        bool, typer.Option("--session-token", help="The keys are temporary: a session token is asked for, too.")
    ] = False,
    from_environment: Annotated[
        bool, typer.Option("--from-environment", help="Take AWS_ACCESS_KEY_ID and the like from this environment.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have LabLink work with other AWS keys, at once. They are checked first, and another account is refused.

    Without a terminal the secret is the first line of standard input, and the session token the second.
    """
    if from_environment == bool(access_key_id):
        raise typer.BadParameter("give the access key's id, or --from-environment", param_hint="ACCESS_KEY_ID")
    body = _take_environment() if from_environment else _ask(str(access_key_id), session_token)
    with LabLink(find_server()) as lablink:
        answer = lablink.call("PUT", "/credentials", json=body)
    _print_message(answer, as_json)


def _ask(access_key_id: str, temporary: bool) -> dict[str, str]:
    body = {"aws_access_key_id": access_key_id, "aws_secret_access_key": _read_secret("Secret access key")}
    if temporary:
        body["aws_session_token"] = _read_secret("Session token")
    return body


def _read_secret(what: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


def _take_environment() -> dict[str, str]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    body = {name.lower(): os.environ[name] for name in names if os.environ.get(name)}
    if len(body) < 2:
        raise Failed("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set in this environment.")
    return body


def forget(as_json: Json = False) -> None:
    """Forget the AWS keys: LabLink then works with what AWS's tools find on its machine."""
    with LabLink(find_server()) as lablink:
        answer = lablink.call("DELETE", "/credentials")
    _print_message(answer, as_json)


def _print_message(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        message = str(answer["message"])
        print_line(f"{message[:1].upper()}{message[1:]}.", "green")


def _group(help_: str, **members: Callable[..., None]) -> typer.Typer:
    group = typer.Typer(help=help_, no_args_is_help=True)
    for word, member in members.items():
        group.command(word)(member)
    return group


TOKENS = _group("API tokens of programs: list, create, revoke.", list=list_tokens, create=create, revoke=revoke)
CREDENTIALS = _group("The AWS keys that LabLink works with: show, set, forget.", show=show, set=set_keys, forget=forget)
