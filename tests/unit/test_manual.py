"""The manual builds with strict links, says all that the program can do, names only commands that exist, and asks no other host."""

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from mkdocs.commands.build import build
from mkdocs.config import load_config
from typer.core import TyperGroup

from lablink.__main__ import COMMANDS, create_app
from pictures.kinds import Kind
from schemas.conditions import CONDITIONS
from schemas.lab_schema import lab_json_schema
from schemas.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "deploy/RUNBOOK.md"]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class Loaded(HTMLParser):
    """Addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = dict(attrs)
        if tag in LOADED and wanted.get("rel") != "canonical":
            self.addresses.append(wanted.get(LOADED[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_the_reference_has_all_that_there_is(site: Path) -> None:
    text = {
        name: (site / name / "index.html").read_text()
        for name in ("conditions", *map("reference/{}".format, ("lablink-yaml", "commands", "api", "environment")))
    }
    schema = lab_json_schema()
    fields = {name for part in (schema, *schema["$defs"].values()) for name in part["properties"]}
    assert not [name for name in fields if f"<code>{name}</code>" not in text["reference/lablink-yaml"]]
    assert not [name for name in CONDITIONS if f'id="{name.lower()}"' not in text["conditions"]]
    variables = [f"LABLINK_{name.upper()}" for name in Settings.model_fields]
    assert not [name for name in variables if f"<code>{name}</code>" not in text["reference/environment"]]
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
    commands = [name for panel in COMMANDS.values() for name in panel]
    assert not [name for name in commands if f"lablink {name}" not in text["reference/commands"]]
    for call in ("POST /api/request_vm", "POST /vm_startup", "PATCH /api/v1/pools/{name}"):
        (part,) = re.findall(rf">{re.escape(call)}<.*?<h[23] ", text["reference/api"] + "<h2 ", re.S)
        assert part.count("May call it") == 1
        assert '<span class="p">{</span>' in part  # an example of what it takes or answers
        assert re.search(r"Errors:</em> 400, ", part)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = Loaded()
    for page in site.rglob("*.html"):
        loaded.feed(page.read_text())
    assert len(loaded.addresses) > 50
    assert not [address for address in loaded.addresses if "//" in address]


def test_every_picture_is_drawn_shown_and_described(site: Path) -> None:
    drawn = {path.name for path in (site / "pictures").glob("*.svg")}
    assert drawn >= {f"{kind}.svg" for kind in Kind}
    images = [image for page in site.rglob("*.html") for image in re.findall(r"<img [^>]*>", page.read_text())]
    shown = {
        name: re.findall(r'alt="([^"]+)"', image)
        for image in images
        for name in drawn
        if re.search(rf'["/]{name}"', image)
    }
    assert drawn == shown.keys()
    assert all(len(alt[0]) > 20 for alt in shown.values())


def commands_of(page: Path) -> set[str]:
    """Every `lablink …` in a block to be typed, and in a sentence."""
    text = page.read_text()
    typed = [
        line.partition(" #")[0].partition(" >")[0]
        for block in re.findall(r"```sh\n(.*?)```", text, re.S)
        for line in block.splitlines()
    ]
    said = re.findall(r"`(lablink [^`…]+)`", text)
    parts = [part.strip() for line in (*typed, *said) for part in line.split(";")]
    return {part for part in parts if re.match(r"lablink [a-z]", part)}


def test_each_command_that_is_named_can_be_typed() -> None:
    root = typer.main.get_command(create_app())
    wrong, count = [], 0
    for page in PAGES:
        for line in commands_of(page):
            count += 1
            wrong += [f"{page.name}: {line}: {trouble}" for trouble in misfits(root, shlex.split(line)[1:])]
    assert not wrong
    assert count > 60


def misfits(command: object, words: list[str]) -> list[str]:
    """Words that are neither commands nor options of what stands before them."""
    while isinstance(command, TyperGroup) and words:
        if words[0] not in command.commands:
            return [f"there is no command {words[0]}"]
        command, words = command.commands[words[0]], words[1:]
    known = {name for one in getattr(command, "params", ()) for name in (*one.opts, *one.secondary_opts)}
    return [
        f"there is no option {word}"
        for word in words
        if word.startswith("-") and word.partition("=")[0] not in known | {"--help"}
    ]
