"""A picture as it was drawn: the SVG read back, so that tests see what a reader sees."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from pictures.drawing import draw_kind
from pictures.facts import Facts
from pictures.kinds import Format, Kind, Preset
from schemas.document import parse_lab

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
ADDRESS = re.compile(r"\b(?:data\.)?aws_\w+\.\w+")
SCALE = re.compile(r"scale\(([\d.]+)")


@dataclass(frozen=True)
class Drawn:
    cards: frozenset[str]
    arrows: frozenset[tuple[str, str]]
    frames: tuple[str, ...]
    words: tuple[str, ...]
    hrefs: tuple[str, ...]
    smallest_pt: float

    @property
    def addresses(self) -> set[str]:
        """The resources of Terraform that are named."""
        return {found for words in self.words for found in ADDRESS.findall(words)}

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read_drawn(svg: bytes) -> Drawn:
    root = ElementTree.fromstring(svg)
    groups = [(one.get("class"), one) for one in root.iter(f"{SVG}g")]
    titles = [(kind, one.findtext(f"{SVG}title") or "") for kind, one in groups]
    arrows = [title.replace("&#45;", "-").partition("->")[::2] for kind, title in titles if kind == "edge"]
    texts = list(root.iter(f"{SVG}text"))
    scale = float(SCALE.findall(next(one.get("transform") or "" for kind, one in groups if kind == "graph"))[0])
    return Drawn(
        cards=frozenset(title for kind, title in titles if kind == "node"),
        arrows=frozenset((tail, head) for tail, head in arrows),
        frames=tuple("".join(one.findtext(f"{SVG}text") or "") for kind, one in groups if kind == "cluster"),
        words=tuple("".join(one.itertext()) for one in texts),
        hrefs=tuple(value for one in root.iter() for name, value in one.attrib.items() if name.endswith("href")),
        smallest_pt=min(float(one.get("font-size") or 0) for one in texts) * scale,
    )


def make_facts(document: str) -> Facts:
    return Facts(parse_lab(document).lab, *(ROOT / name for name in ("terraform", "infrastructure", "deploy")))


@cache
def draw_document(kind: Kind, document: str, preset: Preset = Preset.PAPER) -> Drawn:
    return read_drawn(draw_kind(kind, make_facts(document), preset, Format.SVG))
