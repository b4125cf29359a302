"""The manual's pictures, drawn when it is built: of the example document, and of the arrangements that deploy.md shows. A hook of mkdocs."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from pictures.drawing import draw_kind
from pictures.errors import NotDrawn
from pictures.facts import Facts
from pictures.kinds import Format, Kind, Preset
from schemas.document import parse_lab

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^#{2,3} )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
DRAWN = re.compile(r"\(pictures/([a-z-]+)\.svg\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    documents = read_arrangements()
    try:
        for name in [*Kind, *documents]:
            kind = Kind(name) if name in list(Kind) else Kind.ARCHITECTURE
            facts = make_facts(documents.get(name, ""))
            drawn = draw_kind(kind, facts, Preset.PAPER, Format.SVG)
            files.append(File.generated(config, f"pictures/{name}.svg", content=drawn))
    except NotDrawn as error:
        raise PluginError(f"The manual's pictures cannot be drawn. {error}") from None
    return files


def read_arrangements() -> dict[str, str]:
    """The documents of deploy.md by the name of the picture that stands in their section."""
    found = {}
    for _, text in SECTION.findall((ROOT / "docs/deploy.md").read_text()):
        pictures, blocks = DRAWN.findall(text), BLOCK.findall(text)
        if pictures and blocks:
            found[pictures[0]] = blocks[0]
    return found


def make_facts(more: str) -> Facts:
    """Of the repository's document with more lines."""
    lab = parse_lab((ROOT / "lablink.yaml").read_text() + more).lab
    return Facts(lab, *(ROOT / name for name in ("terraform", "infrastructure", "deploy")))
