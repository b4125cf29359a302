"""The JSON Schema: equal to the file beside `lablink.yaml`, and of the same opinion as the models."""

import json
from pathlib import Path

import jsonschema
import pytest

from schemas.lab_schema import lab_json_schema, render_lab_schema
from schemas.sentences import fields_at
from schemas.yaml_tree import read_tree

ROOT = Path(__file__).parents[2]


def errors_of(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(lab_json_schema())
    return [error.message for error in validator.iter_errors(read_tree(text, "lablink.yaml").value)]


def test_the_schema_in_the_repository_is_the_models() -> None:
    assert (ROOT / "lablink.schema.json").read_text() == render_lab_schema()


def test_the_schema_is_sound_and_accepts_the_example() -> None:
    jsonschema.Draft202012Validator.check_schema(lab_json_schema())
    assert errors_of((ROOT / "lablink.yaml").read_text()) == []


@pytest.mark.parametrize(
    "pool",
    [
        "{sise: 5}",
        "{size: -1}",
        "{size: 5.5}",
        "{market: cheap}",
        "{health: {boot: 20}}",
        "{instance_type: []}",
        "{instance_type: g4dn}",
        "{region: us-west-9}",
        "{schedule: [{cron: '0 9 * * *', size: 3}]}",
    ],
)
def test_the_schema_refuses_what_the_models_refuse(pool: str) -> None:
    assert len(errors_of(f"pools: {{client: {pool}}}")) == 1


def test_every_section_and_most_fields_explain_themselves() -> None:
    schema = lab_json_schema()
    assert all(part.get("description") for part in schema["$defs"].values())
    assert schema["$defs"]["Pool"]["properties"]["size"]["description"].startswith("How many VMs")


def test_every_default_is_what_an_admin_could_write() -> None:
    schema = lab_json_schema()
    parts = [schema, *schema["$defs"].values()]
    fields = [field for part in parts for field in part["properties"].values() if "default" in field]
    assert len(fields) > 50
    for field in fields:
        validator = jsonschema.Draft202012Validator({**field, "$defs": schema["$defs"]})
        assert validator.is_valid(field["default"]), field


def test_no_number_is_lost_in_json() -> None:
    assert json.loads(render_lab_schema()) == lab_json_schema()


def test_names_below_a_path_come_from_the_schema() -> None:
    assert {"size", "zones", "health"} <= set(fields_at(("pools", "client")))
    assert fields_at(("pools", "client", "size")) == ["max", "min", "spare"]
    assert {"cron", "for", "from", "to"} <= set(fields_at(("pools", "client", "schedule", 0)))
    assert fields_at(("nowhere",)) == []
