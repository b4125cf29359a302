"""What a picture shows, before anybody draws it: cards in groups, and arrows between them. Made by the modules of each type."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a card's table, such as a column or a call. A `mark` that is not empty sets it off."""

    cells: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One thing. `key` names it in arrows and in the drawn file; `icon` is a name of `pictures.icons`."""

    key: str
    title: str
    icon: str = ""
    lines: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    group: str = ""
    step: int = 0  # above 0: its number in an order of events


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    title: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    tail: str
    head: str
    words: str = ""
    both: bool = False
    faint: bool = False  # a reference, not something that flows
    hidden: bool = False  # only says who stands before whom
    back: bool = False  # leads against the order in which the others make cards stand


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    about: str
    cards: tuple[Card, ...]
    arrows: tuple[Arrow, ...]
    groups: tuple[Group, ...] = ()
    columns: int = 0  # above 0: cards that no arrow joins stand in so many columns
