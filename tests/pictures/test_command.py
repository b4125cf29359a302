"""`lablink diagram`: its files, and what it says when it cannot draw."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lablink.__main__ import create_app
from lablink.errors import Failed
from pictures.drawing import make_picture
from pictures.kinds import Format, Kind, Preset
from pictures.sheet import SHEETS, draw
from tests.pictures.drawn import ROOT, draw_document, make_facts
from tests.unit.cli import Answer, answering

EXAMPLE = str(ROOT / "lablink.yaml")
DRAWING = {f"pictures.{name}" for name in ("drawing", "sheet", "icons", "label")}
DOCUMENT = (ROOT / "lablink.yaml").read_text()
PIXELS = {Preset.SCREEN: (1920, 1080), Preset.POSTER: (4965, 3510)}


def run(*words: str) -> Result:
    return CliRunner().invoke(create_app("diagram"), ["diagram", *words])


def test_a_picture_is_written_in_each_format_for_each_use(tmp_path: Path) -> None:
    picture = make_picture(Kind.CONNECTION, make_facts(DOCUMENT), Preset.PAPER)
    for preset, sheet in SHEETS.items():
        png, pdf = draw(picture, preset, Format.PNG), draw(picture, preset, Format.PDF)
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
        assert png.startswith(b"\x89PNG")
        if preset in PIXELS:
            assert sorted((width, height)) == sorted(PIXELS[preset])
        else:
            assert max(width, height) <= sheet.long * sheet.dpi + 1
        assert pdf.startswith(b"%PDF")
        assert b"/Font" in pdf or b"/ObjStm" in pdf  # text as text


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.needs_document])
def test_text_is_large_enough_to_be_read(kind: Kind) -> None:
    assert draw_document(kind, DOCUMENT).smallest_pt >= 5.5
    assert draw_document(kind, DOCUMENT, Preset.SCREEN).smallest_pt >= 7
    assert draw_document(kind, DOCUMENT, Preset.POSTER).smallest_pt >= 16


def test_an_svg_brings_its_icons_and_loads_nothing() -> None:
    hrefs = draw_document(Kind.ARCHITECTURE, DOCUMENT).hrefs
    assert hrefs
    assert all(href.startswith("data:image/png;base64,iVBOR") for href in hrefs)


def test_a_wrong_name_is_answered_with_the_one_that_was_meant() -> None:
    slips = {"--type": ("netwrok-flow", "network-flow"), "--preset": ("papr", "paper"), "--format": ("pgn", "png")}
    for option, (written, meant) in slips.items():
        result = run(option, written)
        assert result.exit_code == 2
        assert f'did you mean "{meant}"?' in result.output
    assert "vm-provisioning" in run("--type", "nothing like it").output


@pytest.mark.parametrize(
    ("words", "environ", "sentence"),
    [
        (("--config", "{folder}/wrong.yaml"), {}, 'pools.client.sise: unknown field; did you mean "size"?'),
        (("--config", "{folder}/nowhere.yaml"), {}, "There is no file"),
        (("--type", "crd-connection", "--config", EXAMPLE), {"PATH": "/nowhere"}, "apt-get install graphviz"),
        (("--type", "crd-connection", "--config", EXAMPLE, "--output", "{folder}/no/where.svg"), {}, "cannot be written"),
        (("--type", "database"), {"LABLINK_DATABASE_DSN": "host=/nowhere dbname=none"}, "could not be read"),
    ],
    ids=["wrong document", "no document", "no graphviz", "no folder", "no database"],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said_and_leaves_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str], sentence: str
) -> None:
    (tmp_path / "wrong.yaml").write_text("pools: {client: {sise: 5}}\n")
    target = tmp_path / "picture.svg"
    target.write_text("older")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    placed = [word.format(folder=tmp_path) for word in words]
    result = run(*placed, *([] if "--output" in words else ["--output", str(target)]))
    assert isinstance(result.exception, Failed)
    assert sentence in str(result.exception)
    assert target.read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"wrong.yaml", "picture.svg"}


def test_without_its_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "diagrams" or name in DRAWING]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diagrams", None)
    result = run("--config", EXAMPLE, "--output", str(tmp_path / "picture.png"))
    assert isinstance(result.exception, Failed)
    assert "pip install 'lablink[diagrams]'" in str(result.exception)


def test_the_ending_of_the_file_says_its_format_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "picture.pdf"
    target.write_bytes(b"older")
    result = run("--type", "crd-connection", "--config", EXAMPLE, "--output", str(target))
    assert result.exit_code == 0, result.output
    assert target.read_bytes().startswith(b"%PDF")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.pdf"]


def test_what_is_in_force_on_the_server_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "now.svg"
    document = "deployment: running\npools: {class: {size: 3, instance_type: g5.xlarge}}\n"
    with answering({"GET /api/v1/desired": Answer(200, {"version": 4, "yaml": document})}):
        assert run("--in-force", "--output", str(target)).exit_code == 0
    assert "running dev: architecture" in target.read_text()
    with answering({"GET /api/v1/desired": Answer(200, None)}):
        refused = run("--in-force", "--output", str(target))
    assert "Nothing is in force" in str(refused.exception)
