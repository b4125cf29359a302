"""For any text that a person pastes or a VM writes: nothing leaves its quotes in a shell, and no line is lost or doubled on its way.

For any event that the log Lambda is called with: it is CloudWatch's, or it is refused.
"""

import base64
import gzip
import json
import re
import shlex
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.crd import find_code, render_command
from log_lambda.handler import LONGEST_MESSAGE, UnreadableEventError, decode, split

SHELL = st.text(st.sampled_from(list("4/abc-_. \t\n\"'`$(){};|&<>\\=#!*?~%\0é")), max_size=40)
BODY_LIMIT = 4 * 1024 * 1024  # the allocator's
messages = st.one_of(
    st.text(max_size=200),
    st.sampled_from(["\x1b[31mred", "\ud800", "\x00", '"}]', "🙂" * 400]),
    st.integers(LONGEST_MESSAGE - 1, LONGEST_MESSAGE + 1).map(lambda length: "é" * length),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
    max_leaves=8,
)
FIELDS = ("messageType", "logGroup", "logStream", "logEvents")


@given(SHELL, SHELL, st.sampled_from(["--code=", "--code ", "--code"]))
@example('4/abc"; touch /tmp/x; "', "", "--code=")
@example("4/abc\n--name=$(reboot)", "start-host", "--code=")
@settings(max_examples=400, deadline=None)
def test_a_pasted_command_gives_one_plain_code_or_none(code: str, around: str, option: str) -> None:
    found = find_code(f"{around} {option}{code} {around}")
    if found is None:
        return
    assert re.fullmatch(r"[A-Za-z0-9/_.-]+", found)
    assert shlex.split(render_command(found)) == [
        "DISPLAY=",
        "/opt/google/chrome-remote-desktop/start-host",
        f"--code={found}",
        "--redirect-url=https://remotedesktop.google.com/_/oauthredirect",
        "--name=$(hostname)",
    ]


@given(st.lists(messages, max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_line_is_sent_once_in_order_and_fits(lines: list[str]) -> None:
    events = [{"id": str(n), "timestamp": n, "message": line} for n, line in enumerate(lines)]
    bodies = list(split(pack_and_decode(events)))
    sent = [event for body in bodies for event in json.loads(body)["events"]]
    assert [event["id"] for event in sent] == [event["id"] for event in events]
    assert all(len(body) <= BODY_LIMIT for body in bodies)
    for event, line in zip(sent, lines, strict=True):
        assert event["message"] == line or event["message"].startswith(line[:LONGEST_MESSAGE] + " … [")


@given(
    st.one_of(anything, anything.map(lambda it: {"awslogs": it}), anything.map(lambda it: {"awslogs": {"data": it}}))
)
@settings(max_examples=200, deadline=None)
def test_what_holds_no_batch_is_refused_by_name(event: Any) -> None:
    with pytest.raises(UnreadableEventError):
        decode(event)


@given(st.sampled_from(FIELDS), anything)
@example("logEvents", [{"id": "1", "timestamp": True, "message": ""}])
@example("logEvents", [{"id": "1", "timestamp": -(10**300), "message": ""}])
@settings(max_examples=200, deadline=None)
def test_a_batch_with_a_part_of_another_kind_is_refused_or_split(field: str, value: Any) -> None:
    try:
        batch = pack_and_decode([], {field: value})
    except UnreadableEventError:
        return
    assert isinstance(batch[field], list if field == "logEvents" else str)
    assert batch["messageType"] != "DATA_MESSAGE" or len(b"".join(split(batch))) < BODY_LIMIT


def pack_and_decode(events: list[dict[str, Any]], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """As CloudWatch packs it, and as the Lambda reads it."""
    whole = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "lab-client-test-1", "logEvents": events}
    text = json.dumps(whole | (more or {}))
    return decode({"awslogs": {"data": base64.b64encode(gzip.compress(text.encode())).decode()}})
