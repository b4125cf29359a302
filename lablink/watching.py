"""`--watch`: what a command shows, shown again as it changes until Ctrl-C. On a terminal in place, elsewhere the new lines alone.

Polls once a second: a hint that is missed costs a second, a server that is away for a moment nothing.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from lablink.errors import Failed
from lablink.output import aligned, make_table, on_terminal

REFRESH_S = 1.0
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until Ctrl-C.")]


@dataclass(frozen=True, slots=True)
class View:
    """How to ask for something, and how to show it: as a picture, or as the lines that are new since `before` (None: all)."""

    read: Callable[[], Any]
    render: Callable[[Any], RenderableType]
    news: Callable[[Any, Any], Sequence[str]]


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as a `View`: without a terminal, rows that were not there before. `spare`: columns that a narrow terminal may lose."""

    read: Callable[[], Any]
    columns: Sequence[str]
    rows: Callable[[Any], list[Sequence[Any]]]
    spare: Sequence[str] = ()

    def render(self, found: Any) -> RenderableType:
        return make_table(self.columns, self.rows(found), self.spare)

    def news(self, found: Any, before: Any) -> Sequence[str]:
        lines = aligned(self.columns, self.rows(found))
        seen = set(aligned(self.columns, self.rows(before))) if before is not None else set()
        return [line for line in lines if line not in seen]


def watch(view: View | TableView, as_json: bool, until: Callable[[Any], bool] = lambda _: False) -> Any:
    """What was seen last, once `until` holds; only the first contact may fail. As JSON: an object a line."""
    first = view.read()
    if on_terminal() and not as_json:
        return _watch_screen(view, first, until)
    return _watch_lines(view, first, as_json, until)


def answers(read: Callable[[], Any]) -> Iterator[Any]:
    """Answer after answer, or the `Failed` in its place. The server is looked for each time: a sandbox that starts again may have another port."""
    while True:
        threading.Event().wait(REFRESH_S)
        try:
            answer = read()
        except Failed as failure:
            answer = failure
        yield answer


def _watch_screen(view: View | TableView, found: Any, until: Callable[[Any], bool]) -> Any:
    with Live(view.render(found), auto_refresh=False) as live:
        if until(found):
            return found
        for answer in answers(view.read):
            if isinstance(answer, Failed):
                live.update(Group(view.render(found), Text(_no_answer(answer), style="yellow")), refresh=True)
                continue
            found = answer
            live.update(view.render(found), refresh=True)
            if until(found):
                break
    return found


def _watch_lines(view: View | TableView, found: Any, as_json: bool, until: Callable[[Any], bool]) -> Any:
    """That nobody answers is said once a reason, on standard error."""
    _print_news(view, found, None, as_json)
    trouble = ""
    if until(found):
        return found
    for answer in answers(view.read):
        if isinstance(answer, Failed):
            if trouble != (trouble := _no_answer(answer)):
                print(trouble, file=sys.stderr, flush=True)
            continue
        _print_news(view, answer, found, as_json)
        found, trouble = answer, ""
        if until(found):
            break
    return found


def _print_news(view: View | TableView, found: Any, before: Any, as_json: bool) -> None:
    for line in [json.dumps(found, ensure_ascii=False)] if as_json else view.news(found, before):
        print(line, flush=True)


def _no_answer(failure: Failed) -> str:
    return f"no answer ({str(failure).rstrip('.')}), trying again"
