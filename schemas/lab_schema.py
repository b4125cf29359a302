"""The JSON Schema of `lablink.yaml`, made from the models: editors complete by it, `lablink schema` prints it."""

import json
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from schemas.lab import Lab
from schemas.values import format_duration


class _AsWritten(GenerateJsonSchema):
    """Defaults as an admin would write them: editors put them into the file."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def lab_json_schema() -> dict[str, Any]:
    """Draft 2020-12. Rules that span several fields are not in it; `schemas.document` checks those too."""
    schema = Lab.model_json_schema(by_alias=True, schema_generator=_AsWritten)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "lablink.yaml"}


def render_lab_schema() -> str:
    """The text of `lablink.schema.json`, the same for the same models."""
    return json.dumps(lab_json_schema(), indent=2, ensure_ascii=False) + "\n"
