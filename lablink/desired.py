"""Commands about what should exist: `validate`, `apply`, `preview`, `diff`, `history`, `rollback`, `schema`.

`validate` and `schema` need no server. The others talk to `/api/v1`; the server judges every document again.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.output import local_time, on_terminal, print_diff, print_json, print_line, print_table
from schemas.document import Parsed, diff_texts, parse_lab
from schemas.lab_schema import render_lab_schema
from schemas.problem import InvalidDocument

File = Annotated[Path, typer.Argument(metavar="FILE", help="The document, such as lablink.yaml; - reads from stdin.")]
DEFAULT_FILE = Path("lablink.yaml")


def read_document(path: Path) -> Parsed:
    """The document in a file; raises `Failed` with every problem of it, one a line."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Failed(f"There is no file {path}: name the document to read.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} cannot be read: {error}.") from None
    try:
        return parse_lab(text, str(path))
    except InvalidDocument as error:
        lines = "\n".join(str(problem) for problem in error.problems)
        raise Failed(f"{path} is not a valid document; nothing was changed.\n{lines}") from None


def validate(file: File, as_json: Json = False) -> None:
    """Check a document without a server: each problem with its line, field and what would be right."""
    lab = read_document(file).lab
    if as_json:
        print_json(lab.model_dump(mode="json"))
    else:
        pools = ", ".join(lab.pools) or "none"
        print_line(f"{file} is valid (pools: {pools}).", "green")


def apply(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Put a document in force. Shows the difference first, and asks on a terminal."""
    text = read_document(file).text
    with LabLink(find_server()) as lablink:
        current = read_current(lablink)
        difference = diff_texts(current["yaml"], text, (f"version {current['version']}", str(file)))
        if not difference:
            _report({"version": current["version"], "changed": False}, "Nothing to change", as_json)
            return
        if not as_json:
            print_diff(difference)
        if on_terminal() and not yes and not typer.confirm("Put this in force?"):
            raise Failed(f"Not applied: version {current['version']} stays in force.")
        answer = lablink.call("PUT", "/desired", text=text, match=current["version"])
    _report({**answer, "changed": True}, f"{file} is in force", as_json)


def read_current(lablink: LabLink) -> dict[str, Any]:
    """The version in force; version 0 with an empty text while there is none."""
    found = lablink.get("/desired") or {}
    return {"version": found.get("version") or 0, "yaml": found.get("yaml") or ""}


def _report(answer: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_line(f"{sentence} (version {answer['version']}).", "green")


def preview(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A document; left out: the one in force.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a document would make happen now, with reasons. Nothing is changed."""
    text = read_document(file).text if file else None
    with LabLink(find_server()) as lablink:
        decision = lablink.call("POST", "/preview", text=text)
    if as_json:
        print_json(decision)
    else:
        print(decision["rendered"], end="")


def history(
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=1000)] = 20, as_json: Json = False
) -> None:
    """List the versions of the desired state, the newest first."""
    with LabLink(find_server()) as lablink:
        page = lablink.get("/desired/versions", limit=limit)
    if as_json:
        print_json(page)
        return
    rows = ([v["version"], local_time(v["at"]), v["source"], v["author"]] for v in page["items"])
    print_table(("version", "at", "source", "author"), rows)


def rollback(
    version: Annotated[int, typer.Argument(metavar="N", help="The version whose document is to hold again.", min=1)],
    as_json: Json = False,
) -> None:
    """Make a new version out of an old document."""
    with LabLink(find_server()) as lablink:
        answer = lablink.call("POST", "/desired/rollback" + path_of(version))
    _report(answer, f"The document of version {version} is in force again", as_json)


def diff(
    old: Annotated[int | None, typer.Argument(metavar="[N]", help="A version.", min=1)] = None,
    new: Annotated[
        int | None, typer.Argument(metavar="[M]", help="Another; left out: the one in force.", min=1)
    ] = None,
    file: Annotated[Path, typer.Option(help="Without N: the file to compare with what is in force.")] = DEFAULT_FILE,
    as_json: Json = False,
) -> None:
    """Compare two versions, or a version with the one in force, or (without N) what is in force with the file."""
    with LabLink(find_server()) as lablink:
        first, second = _sides(lablink, old, new, file)
    difference = diff_texts(first[1], second[1], (first[0], second[0]))
    if as_json:
        print_json({"from": first[0], "to": second[0], "diff": difference})
    elif difference:
        print_diff(difference)
    else:
        print_line(f"{first[0]} and {second[0]} do not differ.")


def _sides(lablink: LabLink, old: int | None, new: int | None, file: Path) -> tuple[tuple[str, str], tuple[str, str]]:
    """Name and text of both sides of a comparison."""
    if old is None:
        return _in_force(lablink), (str(file), read_document(file).text)
    return _version(lablink, old), _version(lablink, new) if new is not None else _in_force(lablink)


def _version(lablink: LabLink, number: int) -> tuple[str, str]:
    return f"version {number}", lablink.get("/desired/versions" + path_of(number))["yaml"]


def _in_force(lablink: LabLink) -> tuple[str, str]:
    current = read_current(lablink)
    return f"version {current['version']}", current["yaml"]


def schema() -> None:
    """Print the JSON Schema of lablink.yaml, for editors: `lablink schema > lablink.schema.json`."""
    print(render_lab_schema(), end="")
