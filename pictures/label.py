"""A card as Graphviz's own kind of table, which reserves the room that its text needs: no label runs over its neighbour.

https://graphviz.org/doc/info/shapes.html#html
"""

import textwrap
from html import escape

from pictures.icons import find_icon
from pictures.picture import Card, Row

INK, FAINT, LINE, HEAD = "#1B2733", "#55616E", "#AEB8C2", "#E9EEF5"
MARKS = {"key": "#8A4B00", "reference": "#0B5394", "none": FAINT}
WIDEST = 34  # characters of a line


def render_card(card: Card) -> str:
    border = f'BORDER="1" COLOR="{LINE}" BGCOLOR="white" STYLE="ROUNDED" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3"'
    return f"<<TABLE {border}>{_head(card)}{''.join(map(_row, card.rows))}</TABLE>>"


def _head(card: Card) -> str:
    span = max((len(row.cells) for row in card.rows), default=1)
    tint = f' BGCOLOR="{HEAD}"' if card.rows else ""
    return f'<TR><TD ALIGN="LEFT" COLSPAN="{span}"{tint}>{_title(card)}</TD></TR>'


def _title(card: Card) -> str:
    number = f"{card.step}. " if card.step else ""
    words = [f'<B><FONT COLOR="{INK}">{_lines(number + card.title)}</FONT></B>']
    words += [f'<FONT POINT-SIZE="9" COLOR="{FAINT}">{_lines(line)}</FONT>' for line in card.lines]
    text = '<BR ALIGN="LEFT"/>'.join(words) + '<BR ALIGN="LEFT"/>'
    if not card.icon:
        return text
    image = f'<TD FIXEDSIZE="TRUE" WIDTH="28" HEIGHT="28"><IMG SCALE="TRUE" SRC="{find_icon(card.icon)}"/></TD>'
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">'
    return f'{table}<TR>{image}<TD ALIGN="LEFT" BALIGN="LEFT">{text}</TD></TR></TABLE>'


def _row(row: Row) -> str:
    colour = MARKS.get(row.mark, INK)
    cells = (
        f'<TD ALIGN="LEFT"><FONT POINT-SIZE="9" COLOR="{colour}">{escape(cell) or " "}</FONT></TD>'
        for cell in row.cells
    )
    return f"<TR>{''.join(cells)}</TR>"


def render_words(words: str) -> str:
    """The words at an arrow."""
    text = f'<FONT POINT-SIZE="9" COLOR="{FAINT}">{_lines(words, 24)}<BR ALIGN="LEFT"/></FONT>'
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"><TR><TD BGCOLOR="#FFFFFFB0" STYLE="ROUNDED">{text}</TD></TR></TABLE>>'


def render_heading(title: str, about: str) -> str:
    small = f'<TR><TD><FONT POINT-SIZE="9" COLOR="{FAINT}">{escape(about)}</FONT></TD></TR>' if about else ""
    large = f'<TR><TD><B><FONT POINT-SIZE="14" COLOR="{INK}">{escape(title)}</FONT></B></TD></TR>'
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{large}{small}<TR><TD> </TD></TR></TABLE>>'
    )


def _lines(text: str, widest: int = WIDEST) -> str:
    wrapped = textwrap.wrap(text.replace("`", ""), widest, break_long_words=False, break_on_hyphens=False) or [" "]
    return '<BR ALIGN="LEFT"/>'.join(map(escape, wrapped))
