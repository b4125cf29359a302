"""The command `lablink diagram`: a picture of a deployment from its document and the Terraform files, or of LabLink itself."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lablink.beside import find_part
from lablink.client import LabLink, find_server
from lablink.desired import DEFAULT_FILE, read_current, read_document
from lablink.errors import Failed
from lablink.output import print_line
from pictures.errors import NotDrawn
from pictures.kinds import Format, Kind, Preset
from schemas.document import parse_lab
from schemas.lab import Lab
from schemas.values import nearest


def _one_of(names: type[StrEnum]) -> dict[str, Any]:
    """What makes an option take one of some names: a slip is answered with the one that was probably meant."""
    known = [str(name) for name in names]

    def parse(text: str) -> StrEnum:
        if text in known:
            return names(text)
        meant = nearest(text, known)
        question = f'; did you mean "{meant}"?' if meant else "."
        raise typer.BadParameter(f'there is no "{text}"{question} There are {", ".join(known)}.')

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    return {"parser": parse, "autocompletion": complete, "metavar": "|".join(known)}


def diagram(
    kind: Annotated[Kind, typer.Option("--type", help="What it shows.", **_one_of(Kind))] = Kind.ARCHITECTURE,
    *,
    preset: Annotated[
        Preset, typer.Option(help="What it is for: print, an A1 poster, a screen of 1920 × 1080.", **_one_of(Preset))
    ] = Preset.PAPER,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Left out: as the ending of --output says, else png.", **_one_of(Format)),
    ] = None,
    config: Annotated[Path, typer.Option(help="The document whose deployment is shown.")] = DEFAULT_FILE,
    in_force: Annotated[
        bool, typer.Option("--in-force", help="Instead of a file, what is in force on the server.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="The file to write, over what is there [default: lablink-TYPE.FORMAT].")
    ] = None,
) -> None:
    """Draw the deployment that a document declares, from the real Terraform files; or the tables and calls of LabLink.

    Parts that the document does not ask for are not drawn. Nothing is asked of AWS, and without --in-force no server is needed.
    """
    format_ = form or _format_of(output)
    target = output or Path(f"lablink-{kind}.{format_}")
    read = _read_in_force if in_force else lambda: read_document(config).lab
    _write(target, _draw(kind, read() if kind.needs_document else None, preset, format_))
    print_line(f"{target} shows {kind} ({preset}).", "green")


def _format_of(output: Path | None) -> Format:
    ending = output.suffix.removeprefix(".") if output else ""
    return Format(ending) if ending in list(Format) else Format.PNG


def _read_in_force() -> Lab:
    with LabLink(find_server()) as lablink:
        text = read_current(lablink)["yaml"]
    if not text:
        raise Failed("Nothing is in force on the server yet: `lablink apply FILE` puts a document in force.")
    return parse_lab(text).lab


def _draw(kind: Kind, lab: Lab | None, preset: Preset, format_: Format) -> bytes:
    try:
        from pictures.drawing import draw_kind  # noqa: PLC0415 (an extra brings what it needs)
        from pictures.facts import Facts  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise Failed(f"The package {error.name} is not installed: pip install 'lablink[diagrams]'") from None
    places = (find_part(name) for name in ("terraform", "infrastructure", "deploy"))
    facts = Facts(lab, *places) if lab else None
    try:
        return draw_kind(kind, facts, preset, format_)
    except NotDrawn as error:
        raise Failed(str(error)) from None


def _write(target: Path, drawn: bytes) -> None:
    """Beside its place first: half a picture must not take a whole one's place."""
    draft = target.with_name(f".{target.name}.part")
    try:
        draft.write_bytes(drawn)
        os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Failed(f"{target} cannot be written: {error.strerror}.") from None
