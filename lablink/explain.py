"""Commands that explain what was decided: `replay`. Each is one call of `/api/v1`; nothing is decided here."""

from typing import Annotated

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.fleet import Json
from lablink.output import print_diff, print_json, print_line


def replay(
    tick: Annotated[int, typer.Argument(metavar="ID", help="Number of a stored tick.", min=1)],
    as_json: Json = False,
) -> None:
    """Decide a stored tick again: what it decided, and whether today's code gives the same answer."""
    with LabLink(find_server()) as lablink:
        answer = lablink.get("/ticks" + path_of(tick))
    if as_json:
        print_json(answer)
        return
    print(answer["rendered"], end="")
    if answer["same"]:
        print_line("\nDecided again: the answer is the same.", "green")
    else:
        print_line("\nDecided again: the answer is another one now.", "yellow")
        print_diff(answer["difference"])
