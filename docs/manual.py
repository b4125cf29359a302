"""The parts of the manual that the program writes itself: fields of the document, commands, calls, conditions, prices. A hook of mkdocs."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from calls import write_calls, write_models
from environment import write_environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.core import TyperGroup
from wording import cell, fields, text

from controller.decide import price_table
from lablink.__main__ import create_app as create_command
from schemas.conditions import DEPLOYMENT, POOL, ConditionType
from schemas.lab_schema import lab_json_schema

ROOT = Path(__file__).parents[1]
RUNBOOK = (ROOT / "deploy/RUNBOOK.md", "../deploy/RUNBOOK.md")
"""The one page that lies beside the files that it is about, and what other pages link to."""
FIGURES = "<!-- figures -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for address, write in PAGES.items():
        files.append(File.generated(config, address, content="\n".join(write()) + "\n"))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that lead to files of the repository, where they are pages of the manual, lead there; figures stand where they are called for."""
    if FIGURES in markdown:
        markdown = markdown.replace(FIGURES, "\n".join(write_reliability()))
    return markdown.replace(RUNBOOK[1], "runbook.md").replace("../deploy/monitoring", "conditions.md")


# -- lablink.yaml -----------------------------------------------------------------------------------


def write_document() -> Iterator[str]:
    schema = lab_json_schema()
    parts = schema["$defs"]
    yield from ("# lablink.yaml", "")
    yield "Every field, made from the models that judge the file. `lablink validate lablink.yaml` names line and field of each mistake; "
    yield "`lablink schema` prints the same as a JSON Schema, by which editors complete."
    yield ""
    yield from fields("The document", "", schema, parts)
    for name in sorted(parts):
        yield from fields(name, parts[name].get("description", ""), parts[name], parts)


# -- commands -----------------------------------------------------------------------------


def write_commands() -> Iterator[str]:
    yield from ("# Commands", "")
    yield "`lablink COMMAND --help` says the same. What prints state has `--json`; `status`, `vms`, `runs` and `events` have `--watch`. Exit status: 0 fine, "
    yield "1 refused or failed with a sentence on stderr, 2 wrong usage, 130 ended by Ctrl-C. Colours, boxes and bars of progress are for terminals alone, "
    yield "and `NO_COLOR=1` takes the colours away. `lablink --install-completion` lets your shell complete words."
    yield from (
        "",
        "Which server a command talks to, and how it logs in, [the environment or a file](environment.md#commands) says.",
        "",
    )
    root = typer.main.get_command(create_command())
    context = typer.Context(root, info_name="lablink")
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        yield from _command(command, f"lablink {name}", context)


def _command(command: Any, path: str, parent: typer.Context) -> Iterator[str]:
    context = typer.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    yield from (f"## {path}", "", text(" ".join((command.help or "").split())), "")
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from ("```", " ".join(usage.split()), "```", "")
    rows = [row for one in command.get_params(context) if (row := one.get_help_record(context)) and one.name != "help"]
    if rows:
        yield from ("| option or argument | |", "|---|---|", *(f"| `{cell(a)}` | {text(b)} |" for a, b in rows), "")
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _command(inner, f"{path} {name}", context)


# -- conditions and prices --------------------------------------------------------------------------


def write_conditions() -> Iterator[str]:
    yield from ("# When something is wrong", "")
    yield "A condition is what holds now of a pool or of the deployment as a whole. `lablink status`, the admin's pages, the metric "
    yield "`lablink_trouble` and `notify` name it, with the particulars; below stands what each means and what to do. A running LabLink has the same at "
    yield "`/admin/conditions`, with where each holds now; alerts and messages lead there."
    yield from ("", *_conditions("Of a pool", POOL), *_conditions("Of the deployment", DEPLOYMENT))


def _conditions(title: str, kinds: dict[str, ConditionType]) -> Iterator[str]:
    yield from (f"## {title}", "")
    for name, kind in kinds.items():
        shown = f"not {name}" if kind.good else name
        yield from (f"### {shown} {{ #{name.lower()} }}", "", f"*{kind.severity}* · {kind.meaning} {kind.todo}", "")


def write_prices() -> Iterator[str]:
    yield from (
        "# Prices",
        "",
        f"What LabLink counts with where `prices:` says nothing else and AWS's price list cannot be asked: on demand, Linux, US dollars, {price_table.AS_OF}.",
        "",
    )
    regions = ", ".join(price_table.US)
    yield from (f"## Instances an hour, in {regions}", "", "| type | USD |", "|---|---|")
    for family, sizes in price_table.FAMILIES.items():
        yield from (f"| `{family}.{size}` | {price:g} |" for size, price in sizes.items())
    yield from ("", "## The first size of a family elsewhere", "", "| region | family | USD |", "|---|---|---|")
    for region, families in price_table.ELSEWHERE.items():
        yield from (f"| {region} | {family} | {price:g} |" for family, price in families.items())
    yield from ("", "## Disks, a GiB and month", "", "| region | gp3 | gp2 |", "|---|---|---|")
    yield from (f"| {region} | {kinds['gp3']:g} | {kinds['gp2']:g} |" for region, kinds in price_table.VOLUMES.items())
    yield from ("", "## Databases an hour", "", "| class | USD |", "|---|---|")
    yield from (f"| `{name}` | {price:g} |" for name, price in price_table.DATABASES.items())


def write_reliability() -> Iterator[str]:
    """What `make prove` has shown, each proof when it was last run."""
    for run in json.loads((ROOT / "docs/reliability.json").read_text()).values():
        failed = len(run["failures"])
        yield from (f"### {run['title']}", "", run["shows"], "", "| what | figure |", "|---|---|")
        numbers = f": numbers {run['numbers']}" if run.get("numbers") else ""
        yield f"| {run['unit']} | {run['done']:,} of {run['wanted']:,}{numbers} |"
        yield from (f"| {name.replace('_', ' ')} | {value:,.10g} |" for name, value in run["figures"].items())
        yield f"| failed | {f'**{failed}**' if failed else '0'} |"
        yield f"| took | {run['took_s'] / 60:,.1f} minutes |"
        yield f"| by | `{run['command']}` at commit `{run['commit']}`, {run['at']}, {run['machine']} |"
        yield from ("", *(f"* {text(each['said'])}: `{each['command']}`" for each in run["failures"][:20]), "")
        if run.get("details"):
            yield from _write_details(run["of_each"], run["details"])


def _write_details(of_each: str, details: dict[str, dict[str, float]]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for figures in details.values() for name in sorted(figures)))
    yield from (f"<details markdown><summary>Each {of_each} ({len(details):,})</summary>", "")
    yield f"| {of_each} | {' | '.join(name.replace('_', ' ') for name in columns)} |"
    yield "|---|" + "---|" * len(columns)
    for name, figures in sorted(details.items()):
        cells = (f"{figures[column]:,.10g}" if column in figures else "" for column in columns)
        yield f"| `{name.replace('|', chr(92) + '|')}` | {' | '.join(cells)} |"
    yield from ("", "</details>", "")


def write_runbook() -> Iterable[str]:
    return RUNBOOK[0].read_text().splitlines()


PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "runbook.md": write_runbook,
    "conditions.md": write_conditions,
    "reference/lablink-yaml.md": write_document,
    "reference/commands.md": write_commands,
    "reference/environment.md": write_environment,
    "reference/api.md": write_calls,
    "reference/models.md": write_models,
    "reference/prices.md": write_prices,
}
"""By their address in the manual."""
