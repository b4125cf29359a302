"""What the command line says of the document: `scale`, `rollback`, `history`, `diff`, `preview`, `validate`, `schema`, `approve`."""

import json
from pathlib import Path

from tests.unit.cli import Answer, answering, run_cli


def test_scale_says_the_new_version() -> None:
    with answering({"PATCH /api/v1/pools/client": Answer(200, {"version": 9})}) as calls:
        done = run_cli("scale", "client", "8")
    assert done.out == "Pool client is declared with 8 VMs (version 9).\n"
    assert json.loads(calls[0].body) == {"size": 8}


def test_rollback_names_the_old_version_and_the_new_one() -> None:
    with answering({"POST /api/v1/desired/rollback/2": Answer(200, {"version": 5})}):
        assert run_cli("rollback", "2").out == "The document of version 2 is in force again (version 5).\n"


def test_history_lists_versions() -> None:
    items = [{"version": 2, "at": "2026-11-01T09:00:00Z", "author": "ada", "source": "file"}]
    with answering({"GET /api/v1/desired/versions": Answer(200, {"items": items, "next": None})}):
        done = run_cli("history")
    assert done.out.splitlines()[1].split()[0] == "2"
    assert "ada" in done.out


def test_diff_compares_two_versions() -> None:
    answers = {
        f"GET /api/v1/desired/versions/{n}": Answer(200, {"version": n, "yaml": f"pools: {{a: {{size: {n}}}}}\n"})
        for n in (1, 2)
    }
    with answering(answers):
        done = run_cli("diff", "1", "2")
    assert done.out.startswith("--- version 1\n+++ version 2\n")
    assert "+pools: {a: {size: 2}}" in done.out


def test_preview_without_a_file_asks_about_what_is_in_force() -> None:
    decision = {"actions": [], "held": [], "pools": {}, "rendered": "version 3 at 09:00\n"}
    with answering({"POST /api/v1/preview": Answer(200, decision)}) as calls:
        done = run_cli("preview")
    assert (done.status, done.out, calls[0].body) == (0, "version 3 at 09:00\n", "")


def test_validate_names_line_field_and_the_nearest_right_name(tmp_path: Path) -> None:
    file = tmp_path / "lablink.yaml"
    file.write_text("pools:\n  client:\n    sise: 5\n")
    done = run_cli("validate", str(file))
    assert (done.status, done.out) == (1, "")
    assert f"{file}:3:5" in done.err
    assert 'did you mean "size"?' in done.err


def test_validate_takes_a_good_document_from_standard_input() -> None:
    done = run_cli("validate", "-", stdin="pools: {client: {size: 5}}\n")
    assert (done.status, done.out) == (0, "- is valid (pools: client).\n")


def test_validate_of_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    done = run_cli("validate", str(tmp_path / "none.yaml"))
    assert done.status == 1
    assert done.err.startswith("There is no file")


def test_schema_is_json_schema() -> None:
    assert json.loads(run_cli("schema").out)["properties"]["pools"]


def test_approving_says_what_the_server_says() -> None:
    with answering({"POST /api/v1/desired/approve/4": Answer(200, {"message": "version 4 is approved"})}):
        assert run_cli("approve", "4").out == "Version 4 is approved.\n"


def test_scale_to_bounds_sends_only_what_was_said() -> None:
    with answering({"PATCH /api/v1/pools/client": Answer(200, {"version": 4})}) as calls:
        done = run_cli("scale", "client", "--max", "20", "--spare", "2")
        assert (done.status, done.out) == (0, "Pool client is declared with max 20, spare 2 (version 4).\n")
        assert json.loads(calls[0].body) == {"max": 20, "spare": 2}
        assert run_cli("scale", "client").status == 2
        assert run_cli("scale", "client", "5", "--max", "20").status == 2
