"""The command `lablink notify`: who is told of what, test messages, and the key that webhooks are signed with."""

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from lablink.client import LabLink, find_server
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.output import local_time, print_json, print_line, print_table

PATIENCE_S = 20.0
PAUSE_S = 0.5


class What(StrEnum):
    LIST = "list"
    TEST = "test"
    KEY = "key"


def notify(
    what: Annotated[
        What, typer.Argument(help="list: receivers and last messages; test: send each a message; key: of webhooks.")
    ] = What.LIST,
    as_json: Json = False,
) -> None:
    """Show who is told of troubles, try it out, or print the key that webhooks are signed with."""
    with LabLink(find_server()) as lablink:
        if what is What.KEY:
            answer = lablink.call("POST", "/notify/key")
            print_json(answer) if as_json else print(answer["key"])
        elif what is What.TEST:
            _test(lablink, as_json)
        else:
            _list(lablink, as_json)


def _list(lablink: LabLink, as_json: bool) -> None:
    answer = lablink.get("/notify", limit=20)
    if as_json:
        print_json(answer)
        return
    if not answer["receivers"]:
        print_line("Nobody is told of anything: name receivers under `notify:` in lablink.yaml.")
    for one in answer["receivers"]:
        print_line(f"{one['way']} {one['to']}: {', '.join(one['on']) or 'everything'} from {one['severity']} on")
    if answer["items"]:
        rows = (
            [one["id"], local_time(one["at"]), one["to"], one["topic"], one["state"], _fate(one)]
            for one in answer["items"]
        )
        print_table(("id", "at", "to", "about", "", "fate"), rows)


def _test(lablink: LabLink, as_json: bool) -> None:
    """Waits until each message has reached its receiver or not."""
    numbers = {one["id"] for one in lablink.call("POST", "/notify/test")["items"]}
    until = time.monotonic() + PATIENCE_S
    while True:
        tried = [one for one in lablink.get("/notify", limit=100)["items"] if one["id"] in numbers]
        if all(one["outcome"] for one in tried) or time.monotonic() > until:
            break
        time.sleep(PAUSE_S)
    if as_json:
        print_json({"items": tried})
    for one in [] if as_json else sorted(tried, key=lambda one: one["id"]):
        print_line(f"{one['to']}: {_fate(one)}", "green" if one["outcome"] == "sent" else "red")
    if any(one["outcome"] != "sent" for one in tried):
        raise Failed("Not every receiver was reached.")


def _fate(one: dict[str, Any]) -> str:
    if one["outcome"] is None:
        return f"waits, {one['attempts']} attempts ({one['error']})" if one["error"] else "waits for the controller"
    return f"{one['outcome']} ({one['error']})" if one["error"] else str(one["outcome"])
