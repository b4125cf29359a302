"""The parts of the manual that the program writes itself: fields of the document, commands, calls, conditions, prices. A hook of mkdocs."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr
from typer.core import TyperGroup

from api.app import create_app as create_api
from controller.decide import price_table
from lablink.__main__ import create_app as create_command
from schemas.conditions import DEPLOYMENT, POOL, ConditionType
from schemas.lab_schema import lab_json_schema
from schemas.settings import Settings

ROOT = Path(__file__).parents[1]
RUNBOOK = (ROOT / "deploy/RUNBOOK.md", "../deploy/RUNBOOK.md")
"""The one page that lies beside the files that it is about, and what other pages link to."""
FIGURES = "<!-- figures -->"
METHODS = ("get", "post", "put", "patch", "delete")


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
    yield from _fields("The document", "", schema, parts)
    for name in sorted(parts):
        yield from _fields(name, parts[name].get("description", ""), parts[name], parts)


def _fields(title: str, words: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    required = part.get("required", ())
    yield from (f"## {title} {{ #{title.lower().replace(' ', '-')} }}", "", _text(words), "")
    yield from ("| field | value | default | |", "|---|---|---|---|")
    for name, field in part["properties"].items():
        default = "**needed**" if name in required else _default(field)
        section = parts.get(field.get("$ref", "").rpartition("/")[2], {})
        words = field.get("description") or section.get("description", "")
        yield f"| `{name}` | {_value(field)} | {default} | {_text(words)} |"
    yield ""


def _value(field: dict[str, Any]) -> str:
    """What may stand there, in a few words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    several = field.get("anyOf") or field.get("oneOf")
    if several:
        return " or ".join(_value(one) for one in several if one.get("type") != "null")
    if "enum" in field:
        known = [one for one in field["enum"] if one != ""]
        return " ".join(f"`{one}`" for one in known) if len(known) < 12 else f"a name such as `{known[0]}`"
    if "const" in field:
        return f"`{field['const']}`"
    return _plain(field)


def _plain(field: dict[str, Any]) -> str:
    kind = field.get("type")
    if kind == "array":
        return f"list of {_value(field['items'])}" if "items" in field else "list"
    if kind == "object":
        inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
        return f"by name: {_value(inner[0])}" if inner and isinstance(inner[0], dict) else "mapping"
    if kind in ("integer", "number"):
        return _bounds(field)
    if field.get("examples"):
        return f"text such as `{field['examples'][0]}`"
    return {"boolean": "`true` `false`", "string": "text"}.get(str(kind), "")


def _bounds(field: dict[str, Any]) -> str:
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum")
    if least is None or most is None:
        return "number"
    return f"{'above ' if 'exclusiveMinimum' in field else ''}{least:,} to {most:,}"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return "–"
    shown = ", ".join(map(str, default)) if isinstance(default, list) else str(default)
    return f"`{shown.lower() if isinstance(default, bool) else shown}`"


# -- commands and calls -----------------------------------------------------------------------------


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
    yield from (f"## {path}", "", _text(" ".join((command.help or "").split())), "")
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from ("```", " ".join(usage.split()), "```", "")
    rows = [row for one in command.get_params(context) if (row := one.get_help_record(context)) and one.name != "help"]
    if rows:
        yield from ("| option or argument | |", "|---|---|", *(f"| `{_cell(a)}` | {_text(b)} |" for a, b in rows), "")
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _command(inner, f"{path} {name}", context)


COMMANDS_READ = {
    "LABLINK_URL": "the server; without it a sandbox that runs in this folder, then the file below",
    "LABLINK_TOKEN": "an API token (`lablink tokens create`), in the place of name and password",
    "LABLINK_USER": "`admin`, where nothing is said",
    "LABLINK_PASSWORD": "the admin's; best from a password manager: `LABLINK_PASSWORD=$(…)`",
    "LABLINK_CONFIG": "the file below, somewhere else",
    "LABLINK_DATA": "the sandbox's data, `.lablink` where nothing is said: another folder is another sandbox",
    "LABLINK_TERRAFORM": "the Terraform or OpenTofu to use, where it is not the one on `PATH`",
    "NO_COLOR": "set to anything: no colours",
}
CONFIG = """
The file is `~/.config/lablink/config.toml` (`$XDG_CONFIG_HOME` is followed), of mode 0600 where a secret is in it:

```toml
url = "https://lab.example.org"
token_file = "token"       # beside it; or token = "…", or user = "…" and password = "…"
```

The environment comes first, then a sandbox that runs here, then the file.
"""
SERVERS_READ = {
    "LABLINK_LOG": "`json`: a JSON object a line, as in the image; else lines to be read by people",
    "LABLINK_POSTGRES_DIR": "`lablink serve`: run PostgreSQL there",
    "LABLINK_DATABASE_SECRET": "ARN of the secret in AWS with the database's password",
    "LABLINK_KEY_PATH": "`lablink keys`: the path in SSM under which the two keys are kept",
    "LABLINK_LAMBDA": "the log Lambda that `lablink serve` tells its token",
    "LABLINK_DEAD_LETTERS": "URL of the queue with log batches that could not be delivered",
}


def write_environment() -> Iterator[str]:
    yield from (
        "# Environment",
        "",
        "What should exist is in [lablink.yaml](lablink-yaml.md); the environment says where things are, and secrets.",
        "",
    )
    yield from (
        "## Commands",
        "",
        "| variable | |",
        "|---|---|",
        *(f"| `{a}` | {_cell(b)} |" for a, b in COMMANDS_READ.items()),
        CONFIG,
    )
    yield from (
        "## The allocator",
        "",
        "`lablink infra` and the image set what they need; elsewhere you do. Secrets may be files of `LABLINK_KEYS`.",
        "",
    )
    yield from ("| variable | default | |", "|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = "**needed**" if field.is_required() else _setting(field.get_default())
        yield f"| `LABLINK_{name.upper()}` | {default} | {_text(field.description or '')} |"
    yield from (f"| `{name}` | – | {_cell(words)} |" for name, words in SERVERS_READ.items())


def _setting(value: Any) -> str:
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "–" if shown in (None, "", ()) else f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def write_calls() -> Iterator[str]:
    document = _describe_api()
    yield from ("# The API", "", "A running LabLink shows the whole of it, with models and examples, at `/schema`.", "")
    for tag in document["tags"]:
        yield from (f"## {tag['name']}", "", _text(tag["description"]), "", "| call | |", "|---|---|")
        for path, methods in document["paths"].items():
            for method in METHODS:
                call = methods.get(method)
                if call and tag["name"] in call.get("tags", ()):
                    yield f"| `{method.upper()} {path}` | {_text(call.get('summary') or '')} |"
        yield ""


def _describe_api() -> dict[str, Any]:
    """The OpenAPI document of an API that nobody has started."""
    key = base64.b64encode(bytes(32)).decode()
    settings = Settings(database_dsn="", deployment_secret="of nobody", encryption_key=key)  # noqa: S106
    return create_api(settings, AsyncConnectionPool("", open=False)).openapi_schema.to_schema()


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


def write_performance() -> Iterator[str]:
    """What `make bench` saw when it was last run for the manual."""
    run = json.loads((ROOT / "docs/performance.json").read_text())
    yield from (
        "# Performance",
        "",
        f"Measured by `make bench` on {run['machine']}, at commit `{run['commit']}`, {run['at']}. Each figure stands beside its limit, or beside a ",
    )
    yield from (
        "baseline that was taken in the same run: ratios carry over to other machines, milliseconds do not.",
        "",
    )
    yield from ("| what | measured | limit | | |", "|---|---|---|---|---|")
    for figure in run["figures"]:
        measured, limit = f"{figure['value']:,.0f} {figure['unit']}", f"{figure['limit']:,.0f} {figure['unit']}"
        if figure["baseline"] is not None:
            measured, limit = f"{figure['judged']:.2f} ×", f"{figure['limit']:.2f} ×"
        holds = "" if figure["holds"] else "**missed**"
        yield f"| {_text(figure['name'])} | {measured} | {limit} | {holds} | {_text(figure['note'])} |"


def write_reliability() -> Iterator[str]:
    """What `make prove` has shown, each proof when it was last run."""
    for run in json.loads((ROOT / "docs/reliability.json").read_text()).values():
        failed = len(run["failures"])
        yield from (f"### {run['title']}", "", run["shows"], "", "| what | figure |", "|---|---|")
        yield f"| {run['unit']} | {run['done']:,} of {run['wanted']:,} |"
        yield from (f"| {name.replace('_', ' ')} | {value:,.10g} |" for name, value in run["figures"].items())
        yield f"| failed | {f'**{failed}**' if failed else '0'} |"
        yield f"| took | {run['took_s'] / 60:,.1f} minutes |"
        yield f"| by | `{run['command']}` at commit `{run['commit']}`, {run['at']}, {run['machine']} |"
        yield from ("", *(f"* {_text(each['said'])}: `{each['command']}`" for each in run["failures"][:20]), "")


def write_runbook() -> Iterable[str]:
    return RUNBOOK[0].read_text().splitlines()


def _text(words: str) -> str:
    """A sentence inside a table: no line ends, nothing that is taken for markup."""
    return re.sub(r"([<>|{}*])", r"\\\1", " ".join(words.split())) if "`" not in words else _cell(words)


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "runbook.md": write_runbook,
    "conditions.md": write_conditions,
    "performance.md": write_performance,
    "reference/lablink-yaml.md": write_document,
    "reference/commands.md": write_commands,
    "reference/environment.md": write_environment,
    "reference/api.md": write_calls,
    "reference/prices.md": write_prices,
}
"""By their address in the manual."""
