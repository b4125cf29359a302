"""Commands about money: `costs` and `approve`. Each is one or two calls of `/api/v1`; nothing is reckoned here."""

from typing import Annotated, Any

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.fleet import Json
from lablink.output import print_json, print_line, print_table


def costs(as_json: Json = False) -> None:
    """Show what everything costs per hour, what the month has cost, and what it will cost as declared."""
    with LabLink(find_server()) as lablink:
        answer = lablink.get("/costs")
    if as_json:
        print_json(answer)
        return
    rows = [[pool["name"], pool["vms"], *_money(pool), _price(pool)] for pool in answer["pools"]] + [
        ["allocator", "", *_money(answer["allocator"]), ""],
        ["total", "", *_money(answer), ""],
    ]
    print_table(("what", "VMs", "per hour", "month so far", "whole month", "price"), rows)
    for line in _remarks(answer):
        print_line(line, "yellow")


def _money(part: dict[str, Any]) -> list[str]:
    return [f"${part[name]:,.2f}" for name in ("hourly", "so_far", "forecast")]


def _price(pool: dict[str, Any]) -> str:
    price = pool["price"]
    return f"{pool['instance_type']} ${price['usd']:.4g}/h ({price['source']})" if price else ""


def _remarks(answer: dict[str, Any]) -> list[str]:
    lines = [f"Not counted: {sentence}" for sentence in answer["unpriced"]]
    limits = {"hourly": ("hourly", "an hour"), "monthly": ("so_far", "a month")}
    for name, (used, span) in limits.items():
        if limit := answer["budget"].get(name):
            lines.append(f"Budget: ${answer[used]:,.2f} of ${limit:,.2f} {span}.")
    approval = answer["approval"]
    if approval and approval["state"] == "waiting":
        lines.append(f"Version {approval['version']} waits for `lablink approve {approval['version']}`.")
    return lines


def approve(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version in force that costs more.", min=1)],
    as_json: Json = False,
) -> None:
    """Let a version that costs more than `budget.approve_above` go on."""
    with LabLink(find_server()) as lablink:
        answer = lablink.call("POST", "/desired/approve" + path_of(version))
    if as_json:
        print_json(answer)
    else:
        print_line(f"{answer['message'].capitalize()}.", "green")
