"""Commands that explain what was decided: `replay`. Each is one call of `/api/v1`; nothing is decided here."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.fleet import Json
from lablink.output import local_time, print_diff, print_json, print_line, print_table

COLUMNS = ("id", "at", "version", "actions")


def replay(
    tick: Annotated[int | None, typer.Argument(metavar="[ID]", help="A stored tick, decided again.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """List the stored ticks, the newest first; or decide one again: what it decided, and whether today's code still does."""
    with LabLink(find_server()) as lablink:
        answer = lablink.get("/ticks", limit=limit) if tick is None else lablink.get("/ticks" + path_of(tick))
    if as_json:
        print_json(answer)
    elif tick is None:
        print_table(COLUMNS, ([_cell(one, column) for column in COLUMNS] for one in answer["items"]))
    else:
        _print_replayed(answer)


def _cell(tick: Mapping[str, Any], column: str) -> Any:
    return local_time(tick["at"]) if column == "at" else tick[column]


def _print_replayed(answer: Mapping[str, Any]) -> None:
    print(answer["rendered"], end="")
    if answer["same"]:
        print_line("\nDecided again: the answer is the same.", "green")
    else:
        print_line("\nDecided again: the answer is another one now.", "yellow")
        print_diff(answer["difference"])
