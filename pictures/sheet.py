"""Draws a picture with the package `diagrams`, lays it out with Graphviz, and fits it to what it is for.

The layout is tried in both directions; the one that fills the sheet better is taken. A drawn SVG holds its icons itself.
"""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path

from diagrams import Cluster, Diagram, Edge, Node, setdiagram

from pictures.errors import Missing, NotDrawn
from pictures.kinds import Format, Preset
from pictures.label import render_card, render_heading, render_words
from pictures.picture import Arrow, Card, Picture

FONT = "Arial"
TINTS = ("#F4F7FB", "#E8EFF8", "#DCE6F3")
FAINT_LINE = "#9AA7B4"
GRAPH = {
    "labelloc": "t",
    "fontname": FONT,
    "pad": "0",
    "nodesep": "0.18",
    "ranksep": "0.3",
    "splines": "spline",
    "bgcolor": "white",
    "compound": "true",
}
NODE = {
    "shape": "plain",
    "fixedsize": "false",
    "width": "0",
    "height": "0",
    "style": "",
    "fontname": FONT,
    "fontsize": "10",
}
EDGE = {"color": "#5B6B7B", "arrowsize": "0.6", "fontname": FONT, "fontsize": "8.5"}
CLUSTER = {
    "pencolor": "#AEB8C2",
    "fontname": FONT,
    "fontsize": "10.5",
    "fontcolor": "#33475B",
    "margin": "8",
    "style": "rounded",
}
SIDEWAYS = 0.85
PAD = 0.15  # inches around the drawing
DOT_S = 60
IMAGE = re.compile(r'xlink:href="(/[^"]+\.png)"')


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a picture is for. In inches; `whole`: it is exactly so large, else as large as the drawing and at most that."""

    long: float
    short: float
    dpi: int
    whole: bool
    turned: bool  # may stand upright, too


SHEETS = {
    Preset.PAPER: Sheet(long=10.7, short=7.3, dpi=300, whole=False, turned=True),  # A4 without its margins
    Preset.POSTER: Sheet(long=33.1, short=23.4, dpi=150, whole=True, turned=True),  # A1
    Preset.SCREEN: Sheet(long=20.0, short=11.25, dpi=96, whole=True, turned=False),  # 1920 × 1080
}


@dataclass(frozen=True, slots=True)
class Layout:
    source: str
    direction: str
    width: float  # of the drawing and of the sheet, in inches
    height: float
    page: tuple[float, float]

    @property
    def zoom(self) -> float:
        room = ((side - 2 * PAD) / size for side, size in zip(self.page, (self.width, self.height), strict=True))
        return min(room)

    @property
    def worth(self) -> float:
        """How large it would be drawn. From left to right, words at arrows and frames come too near to each other."""
        return self.zoom * (SIDEWAYS if self.direction == "LR" else 1.0)


def draw(picture: Picture, preset: Preset, format_: Format) -> bytes:
    """The file's bytes. Raises `Missing` without Graphviz."""
    sheet = SHEETS[preset]
    best = max(_layouts(picture, sheet), key=lambda layout: layout.worth)
    zoom = best.zoom if sheet.whole else min(1.0, best.zoom)
    width, height = best.page if sheet.whole else (best.width * zoom + 2 * PAD, best.height * zoom + 2 * PAD)
    window = f"-Gviewport={width * 72:.1f},{height * 72:.1f},{zoom:.4f}"
    drawn = _run_dot(
        best.source, f"-T{format_}", window, "-Gpad=0", *([f"-Gdpi={sheet.dpi}"] if format_ is Format.PNG else [])
    )
    return _embed_icons(drawn) if format_ is Format.SVG else drawn


def _layouts(picture: Picture, sheet: Sheet) -> Iterator[Layout]:
    for direction, order in product(("LR", "TB"), _orders(picture)):
        source = render_dot(order, direction)
        _, _, width, height = _run_dot(source, "-Tplain").split(b"\n", 1)[0].split()
        yield Layout(source, direction, float(width), float(height), (sheet.long, sheet.short))
        if sheet.turned:
            yield Layout(source, direction, float(width), float(height), (sheet.short, sheet.long))


def _orders(picture: Picture) -> Iterator[Picture]:
    """Also with its parts named the other way round: Graphviz begins its search with the order that it is given."""
    yield picture
    yield replace(picture, cards=picture.cards[::-1], groups=picture.groups[::-1])


def _run_dot(source: str, *options: str) -> bytes:
    done = subprocess.run(
        [find_dot(), *options], input=source.encode(), capture_output=True, check=False, timeout=DOT_S
    )
    if done.returncode != 0:
        raise NotDrawn(f"Graphviz did not draw the picture: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def find_dot() -> str:
    found = shutil.which("dot")
    if found is None:
        raise Missing(
            "Graphviz's program `dot` is not installed: `apt-get install graphviz`, or `brew install graphviz`."
        )
    return found


# -- DOT ---------------------------------------------------------------------------------------------


def render_dot(picture: Picture, direction: str) -> str:
    """The picture in Graphviz's language; node and edge bear the cards' keys."""
    diagram = Diagram(
        picture.title,
        filename="unused",
        direction=direction,
        graph_attr={**GRAPH, "label": render_heading(picture.title, picture.about)},
        node_attr=NODE,
        edge_attr=EDGE,
    )
    setdiagram(diagram)  # not as a context manager, which would write files where we stand
    try:
        nodes = _draw_cards(picture)
        for arrow in picture.arrows:
            _draw_arrow(arrow, nodes, picture)
        for above, below in _columns(picture):
            nodes[above].connect(nodes[below], Edge(style="invis"))
    finally:
        setdiagram(None)
    return str(diagram.dot.source)


def _draw_cards(picture: Picture) -> dict[str, Node]:
    drawn: dict[str, Node] = {}
    _fill("", picture, drawn, 0)
    return drawn


def _fill(inside: str, picture: Picture, drawn: dict[str, Node], depth: int) -> None:
    """What lies in a group, and then in the groups within it."""
    for card in picture.cards:
        if card.group == inside:
            drawn[card.key] = Node(render_card(card), nodeid=card.key)
    for group in picture.groups:
        if group.inside == inside:
            attributes = {**CLUSTER, "label": group.title, "bgcolor": TINTS[depth % len(TINTS)]}
            cluster = Cluster(group.key, graph_attr=attributes)
            with cluster:
                _fill(group.key, picture, drawn, depth + 1)


def _draw_arrow(arrow: Arrow, nodes: dict[str, Node], picture: Picture) -> None:
    # Graphviz makes room for an arrow only from the earlier to the later card, so one that leads back is turned round.
    first, last = (arrow.head, arrow.tail) if arrow.back else (arrow.tail, arrow.head)
    starts, finishes = ([key] if key in nodes else _cards_in(key, picture) for key in (first, last))
    start, end = starts[0], finishes[-1 if arrow.back else 0]  # apart, so that words at two arrows do not meet
    ends = {} if start == first else {"ltail": f"cluster_{first}"}
    ends |= {} if end == last else {"lhead": f"cluster_{last}"}
    style = {"fontname": FONT} | ({"style": "dashed", "color": FAINT_LINE} if arrow.faint else {})
    style |= {"style": "invis"} if arrow.hidden else {}
    words = {"label": render_words(arrow.words)} if arrow.words else {}
    edge = Edge(forward=arrow.both or not arrow.back, reverse=arrow.both or arrow.back, **ends, **style, **words)
    nodes[start].connect(nodes[end], edge)
    for other in [key for key in finishes if key != end]:  # those of a group stand side by side
        nodes[start].connect(nodes[other], Edge(style="invis"))


def _cards_in(group: str, picture: Picture) -> list[str]:
    """The cards of a group. The first stands for it at the end of an arrow, which is cut off at the group's border."""
    inside = {group, *(one.key for one in picture.groups if one.inside == group)}
    return sorted(card.key for card in picture.cards if card.group in inside)


def _columns(picture: Picture) -> Iterator[tuple[str, str]]:
    """Pairs of cards that no arrow joins, one below the other: in so many columns, about equally long."""
    joined = {key for arrow in picture.arrows for key in (arrow.tail, arrow.head)}
    alone = [card for card in picture.cards if card.key not in joined] if picture.columns else []
    columns: list[list[Card]] = [[] for _ in range(picture.columns)]
    for card in sorted(alone, key=_length, reverse=True):
        min(columns, key=lambda column: sum(map(_length, column))).append(card)
    for column in columns:
        yield from ((one.key, other.key) for one, other in pairwise(column))


def _length(card: Card) -> int:
    return 3 + len(card.rows)


# -- SVG ---------------------------------------------------------------------------------------------


def _embed_icons(drawn: bytes) -> bytes:
    return IMAGE.sub(lambda found: f'xlink:href="{_data_url(found[1])}"', drawn.decode()).encode()


@cache
def _data_url(path: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
