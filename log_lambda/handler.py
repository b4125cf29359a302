"""AWS Lambda behind a CloudWatch Logs subscription: brings the lines of client VMs to the allocator. Standard library only.

Raises what it could not deliver, so that AWS tries again and the dead-letter queue holds what never got through; the
allocator stores each event id once, so a repetition is harmless. An event that is not CloudWatch's is logged and left: it would be none
the next time, too. Environment: ALLOCATOR_URL, LOG_TOKEN.
"""

import base64
import contextlib
import gzip
import http.client
import io
import json
import logging
import os
import random
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 3_500_000  # of a body; the allocator refuses more than 4 MiB
LONGEST_MESSAGE = (
    100_000  # characters. In JSON one may take 12 bytes, and goes twice; the allocator keeps fewer of a line
)
MOST_UNPACKED = 16 * 1024 * 1024
"""Bytes of JSON in an event. A batch is of at most 1 MB of text, of which JSON may take twelve bytes a character, and some for each line; a
Lambda of 128 MB holds this."""
TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
SPARE_S = 3.0  # kept of the Lambda's time, so that it raises instead of being cut off
WITHOUT_CONTEXT_S = 50.0
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
MOST_ANSWER = 10_000  # bytes that are read of an answer


LOG = logging.getLogger(__name__)


class UnreadableEventError(ValueError):
    """The event is not one of CloudWatch Logs; no repetition makes it one."""


class DeliveryError(Exception):
    """The allocator did not take the lines; AWS is to call again with the same event."""


class Unredirected(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET and carry the token to wherever it points: it is a refusal."""

    def redirect_request(self, *_: Any) -> None:
        """None: urllib then raises the answer as an HTTPError."""


OPENER = urllib.request.build_opener(Unredirected)


def handler(event: dict[str, Any], context: Any = None) -> dict[str, int]:
    """Entry point. https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    try:
        batch = decode(event)
    except UnreadableEventError as error:
        LOG.error("an event is left, none of its lines was delivered: %s", error)
        return {"lines": 0}
    if batch["messageType"] != "DATA_MESSAGE":
        return {"lines": 0}  # a CONTROL_MESSAGE asks only whether we are there
    remaining_s = context.get_remaining_time_in_millis() / 1000 if context else WITHOUT_CONTEXT_S
    until = time.monotonic() + remaining_s - SPARE_S
    for body in split(batch):
        deliver(body, until)
    return {"lines": len(batch["logEvents"])}


def decode(event: Any) -> dict[str, Any]:
    """What CloudWatch packed: gzip in base64 in JSON. Raises UnreadableEventError."""
    part = event.get("awslogs") if isinstance(event, dict) else None
    data = part.get("data") if isinstance(part, dict) else None
    if not isinstance(data, str):
        raise UnreadableEventError("it has no text at awslogs.data")
    try:
        batch = json.loads(unpack(base64.b64decode(data, validate=True)))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise UnreadableEventError(f"awslogs.data is not JSON in gzip in base64: {str(error)[:200]}") from None
    if wrong := find_wrong(batch):
        raise UnreadableEventError(f"{wrong} is missing or of another kind")
    return dict(batch)


def unpack(packed: bytes) -> bytes:
    """As far as `MOST_UNPACKED`: a kilobyte of gzip may be a megabyte of nothing."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        text = file.read(MOST_UNPACKED + 1)
    if len(text) > MOST_UNPACKED:
        raise ValueError(f"it is more than {MOST_UNPACKED} bytes unpacked")
    return text


def find_wrong(batch: Any) -> str:
    """The first thing that is not as CloudWatch writes it, or nothing."""
    if not isinstance(batch, dict):
        return "the object"
    if not isinstance(batch.get("messageType"), str):
        return "messageType"
    if batch["messageType"] != "DATA_MESSAGE":
        return ""
    for name, kind in (("logGroup", str), ("logStream", str), ("logEvents", list)):
        if not isinstance(batch.get(name), kind):
            return name
    return next((f"logEvents[{n}]" for n, line in enumerate(batch["logEvents"]) if not is_line(line)), "")


def is_line(line: Any) -> bool:
    """Any time will do: the allocator judges it."""
    return (
        isinstance(line, dict)
        and isinstance(line.get("id"), str)
        and type(line.get("timestamp")) is int
        and isinstance(line.get("message"), str)
    )


def split(batch: dict[str, Any]) -> Iterator[bytes]:
    """Bodies of at most `MOST_BYTES`, in the order of the lines."""
    events: list[dict[str, Any]] = []
    size = 0
    for line in map(shorten, batch["logEvents"]):
        length = len(json.dumps(line)) * 2  # a line is sent twice: as a message and as an event
        if events and size + length > MOST_BYTES:
            yield render(batch, events)
            events, size = [], 0
        events.append(line)
        size += length
    if events:
        yield render(batch, events)


def shorten(line: dict[str, Any]) -> dict[str, Any]:
    """A line that a body can hold: CloudWatch takes up to 1 MB, which may be several in JSON."""
    message = line["message"]
    if len(message) <= LONGEST_MESSAGE:
        return line
    return {
        **line,
        "message": f"{message[:LONGEST_MESSAGE]} … [{len(message) - LONGEST_MESSAGE} more characters were left out]",
    }


def render(batch: dict[str, Any], events: list[dict[str, Any]]) -> bytes:
    """The body of `POST /api/vm-logs`: `messages` for older allocators, `events` with the ids for ours."""
    body = {
        "log_group": batch["logGroup"],
        "log_stream": batch["logStream"],
        "messages": [event["message"] for event in events],
        "events": [{name: event[name] for name in ("id", "timestamp", "message")} for event in events],
    }
    return json.dumps(body).encode()


def deliver(body: bytes, until: float) -> None:
    """Post, again and again with growing random pauses while the answer may differ later; raises DeliveryError."""
    pause_s = FIRST_PAUSE_S
    while True:
        trouble, asked_s = post(body, max(1.0, min(TIMEOUT_S, until - time.monotonic())))
        if trouble is None:
            return
        wait_s = max(asked_s, random.uniform(pause_s / 2, pause_s))  # noqa: S311 (spreads the calls, guards nothing)
        if time.monotonic() + wait_s > until:
            raise DeliveryError(f"the allocator did not take the lines in time: {trouble}")
        time.sleep(wait_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


def post(body: bytes, timeout_s: float) -> tuple[str | None, float]:
    """What went wrong (None: nothing) and for how many seconds the allocator asked to be left alone."""
    url = os.environ["ALLOCATOR_URL"].rstrip("/") + "/api/vm-logs"
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("LOG_TOKEN", ""):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 (the operator's URL)
    try:
        with OPENER.open(request, timeout=timeout_s) as response:
            response.read(MOST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return refusal(error)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__, 0.0
    return None, 0.0


def refusal(error: urllib.error.HTTPError) -> tuple[str, float]:
    """A refusal that a repetition may overcome; raises DeliveryError at once for any other."""
    said = b""
    with contextlib.suppress(OSError, http.client.HTTPException):  # the connection may break off inside the answer
        said = error.read(500)
    sentence = f"{error.code} {said.decode(errors='replace')}"
    if error.code not in LATER:
        raise DeliveryError(f"the allocator refused the lines: {sentence}")
    asked = error.headers.get("Retry-After", "")
    return sentence, min(float(asked), LONGEST_PAUSE_S) if asked.isdecimal() else 0.0
