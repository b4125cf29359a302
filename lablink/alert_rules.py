"""Alert rules for Prometheus, one for each condition, written from the table of conditions: `make alerts` keeps deploy/monitoring/conditions.yaml."""

import io
import sys
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from schemas.conditions import CONDITIONS, ConditionType, Severity, page_of

LASTS = {Severity.CRITICAL: "1m", Severity.WARNING: "5m", Severity.INFO: "30m"}
"""How long a trouble holds before somebody is told: what is only to be known usually passes by itself."""
HEAD = """# An alert for each condition, written by `make alerts` from schemas/conditions.py. `runbook_url` is the allocator's own page about it:
# the metric lablink_info says where that is, so nothing here has to be edited.
"""


def write_rules() -> str:
    """The file as it is kept."""
    groups = [{"name": "lablink-conditions", "rules": [rule_of(name, kind) for name, kind in CONDITIONS.items()]}]
    yaml, text = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"groups": groups}, text)
    return HEAD + text.getvalue()


def rule_of(name: str, kind: ConditionType) -> dict[str, Any]:
    """Two allocators tell the same of the same lab; several labs in one Prometheus are told apart by their address."""
    told = f'lablink_trouble{{condition="{name}"}} * on (job, instance) group_left (url) lablink_info'
    return {
        "alert": name_of(name, kind),
        "expr": f"max by (subject, url) ({told}) == 1",
        "for": LASTS[kind.severity],
        "labels": {"severity": str(kind.severity), "condition": name},
        "annotations": {
            "summary": DoubleQuotedScalarString(f"{{{{ $labels.subject }}}}: {kind.meaning}"),
            "todo": DoubleQuotedScalarString(kind.todo),
            "runbook_url": DoubleQuotedScalarString(f"{{{{ $labels.url }}}}{page_of(name)}"),
        },
    }


def name_of(name: str, kind: ConditionType) -> str:
    return f"LabLinkNot{name}" if kind.good else f"LabLink{name}"


if __name__ == "__main__":
    sys.stdout.write(write_rules())
