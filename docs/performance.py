"""What `make bench` saw, put into the manual's page on performance and into docs/scale.md. A hook of mkdocs."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from plot import draw
from wording import text

FIGURES = "<!-- performance -->"
RUN = Path(__file__).parent / "performance.json"
NAMED = re.compile(r"\{\{(.+?)\}\}")
"""`{{name of a row}}` in docs/scale.md stands for its value and unit."""


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    if FIGURES in markdown:
        return markdown.replace(FIGURES, "\n".join(write_performance()))
    if page.file.src_uri != "scale.md":
        return markdown
    return NAMED.sub(lambda found: tell(found[1].strip()), markdown)


@cache
def read_run() -> dict[str, Any]:
    return dict(json.loads(RUN.read_text()))


def tell(name: str) -> str:
    """A measured value with its unit, its note, or the table of loads."""
    if name == "loads":
        return "\n".join(write_loads())
    if name.startswith("note of "):
        return str(_find(name.removeprefix("note of "))["note"])
    figure = _find(name)
    return _say(figure["value"], figure["unit"])


def _find(name: str) -> dict[str, Any]:
    """What is not measured stops the build."""
    for figure in read_run()["figures"]:
        if figure["name"] == name:
            return dict(figure)
    raise PluginError(f"docs/scale.md names {name!r}, which docs/performance.json does not have; run `make bench`")


def write_performance() -> Iterator[str]:
    run = read_run()
    yield f"On {run['machine']}, at commit `{run['commit']}`, {run['at']}."
    yield from ("", "| what | measured | limit | | |", "|---|---|---|---|---|", *map(_row, run["figures"]), "")
    if run.get("curves"):
        yield from _write_curves(run["curves"])


def _row(figure: dict[str, Any]) -> str:
    measured, limit = _say(figure["value"], figure["unit"]), _say(figure["limit"], figure["unit"])
    if figure["baseline"] is not None:
        measured = f"{figure['judged']:.2f} × {_say(figure['baseline'], figure['unit'])}"
        limit = f"{figure['limit']:.2f} ×"
    repeats = figure.get("repeats", 1)
    repeated = f"{repeats} times, ± {figure['spread'] / 2:.0%}" if repeats > 1 else ""
    note = "; ".join(part for part in (repeated, text(figure["note"])) if part)
    return f"| {text(figure['name'])} | {measured} | {limit} | {'' if figure['holds'] else '**missed**'} | {note} |"


def _say(value: float, unit: str) -> str:
    """With three digits, or all before the point."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def _write_curves(curves: list[dict[str, Any]]) -> Iterator[str]:
    yield from ("### How costs grow", "")
    yield "Each cost by the number of what causes it, and the power of it that fits best (least squares on logarithms): with 1 a cost grows as "
    yield "its cause, with 0 not at all."
    yield ""
    for curve in curves:
        points = {int(count): cost for count, cost in curve["points"].items()}
        yield from (f"#### {curve['name'].capitalize()}", "")
        yield draw(curve["name"], curve["what"], curve["unit"], points, curve["exponent"])
        yield from ("", f"| {curve['what']} | {' | '.join(f'{count:,}' for count in points)} | power |")
        yield "|---|" + "---|" * (len(points) + 1)
        costs = " | ".join(_say(cost, "") for cost in points.values())
        yield from (f"| {curve['unit']} | {costs} | **{curve['exponent']:.2f}** |", "")


# -- what a fleet costs, by what was measured -------------------------------------------------------

FLEETS = (100, 1_000, 10_000, 100_000)
HEARTBEAT_S, TICK_S, LISTING_S = 20, 10, 30
LINES_A_DAY, DAY_S = 2_000, 86_400
RUN_INSTANCES_A_S = 2
SHARD = 50


def write_loads() -> Iterator[str]:
    """Costs of fleets: each is a measured cost times how often it comes."""
    yield f"| of a fleet of | {' | '.join(f'{count:,}' for count in FLEETS)} |"
    yield "|---|" + "---|" * len(FLEETS)
    for words, cost in LOADS.items():
        yield f"| {words} | {' | '.join(cost(count) for count in FLEETS)} |"


def _value(name: str) -> float:
    return float(_find(name)["value"])


def _share(seconds: float, of_s: float) -> str:
    return f"{seconds / of_s:.1%}"


def _heartbeats(count: int) -> str:
    return _share(count / HEARTBEAT_S * _value("a telemetry post, 50 in flight, 5,000 VMs") / 1e6, 1)


def _held(count: int) -> str:
    return _say(count * _value("the same by itself") / 1024, "MB")


def _ticks(count: int) -> str:
    return _share(count / 10_000 * _value("idle tick over 10,000 VMs in 200 pools") / 1000, TICK_S)


def _listings(count: int) -> str:
    return _share(count / 1_000 * _value("listing 1,000 instances, beside botocore's parse") / 1000, LISTING_S)


def _lines(count: int) -> str:
    name = "a log line in posts of 50, 20 in flight, beside COPY"
    return _share(count * LINES_A_DAY * _value(name) / 1e6, DAY_S)


def _disk(count: int) -> str:
    return _say(count * LINES_A_DAY * _value("disk of a stored line, with its indexes") / 1e9, "GB")


def _class(count: int) -> str:
    return _say(count * _value("an assignment, 20 at a time, beside SQL") / 1e6, "s")


LOADS: dict[str, Callable[[int], str]] = {
    f"heartbeats, one in {HEARTBEAT_S} s, of an API process": _heartbeats,
    "memory of held calls, when all wait": _held,
    "everybody asks at the same moment: the last one is served after": _class,
    f"idle ticks, one in {TICK_S} s, of the controller": _ticks,
    f"listings, one in {LISTING_S} s, of a core": _listings,
    f"{LINES_A_DAY:,} lines of log a VM and day, of API and PostgreSQL": _lines,
    "the disk that they take, for each day that is kept": _disk,
    "Terraform's states": lambda count: f"{count // SHARD:,}",
    f"AWS makes them, {RUN_INSTANCES_A_S} a second and region, in": lambda count: _say(
        count / RUN_INSTANCES_A_S / 60, "min"
    ),
}
