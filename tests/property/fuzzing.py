"""Fuzzing of what strangers write: documents in YAML, pasted commands, log batches that CloudWatch hands to the Lambda, and its events themselves.

Inputs come from `corpus/`, a folder a target, by random mutations (flips, splices, repeats, tokens that mean something). What makes a
target fail is written into its folder and is tried first from then on. `python -m tests.property.fuzzing SEED…` (a part of `make prove`).
"""

import base64
import gzip
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from api.crd import find_code, render_command
from api.errors import BadInputError
from api.log_body import make_lines, read_batch
from log_lambda.handler import LONGEST_MESSAGE, MOST_UNPACKED, UnreadableEventError, decode, split
from schemas.document import InvalidDocument, Problem, parse_lab
from tests.prove.piece import Lived, run_pieces

CORPUS = Path(__file__).parent / "corpus"
INPUTS = {"document": 60, "command": 2000, "batch": 60, "event": 100}  # a seed
LONGEST = 4_096
BODY_LIMIT = 4 * 1024 * 1024  # the allocator's
MEGABYTE = 1024 * 1024  # as long as CloudWatch lets a line be
NOW = datetime(2026, 11, 1, tzinfo=UTC)
TOKENS = [
    *(b"*a", b"&a [*a, *a]", b"!!python/object/apply:os.system [id]", b"<<: *a", b"? [", b"---\n...\n", b"%YAML 9.9\n", b"- " * 40, b"{" * 40),
    *(b"pools:", b"size: {min: 1, max: 0}", b"1_0", b"0x1F", b".inf", b"2026-99-99", b"~", b"!!binary aGk=", b"\t", b": ", b"\xef\xbb\xbf"),
    *(b"--code=", b"--code \"", b"4/0A", b"$(id)", b"`id`", b"; id", b"\n", b"\\\n", b"\x00", b"\x1b[31m", b"\xe2\x80\xae", b"\xed\xa0\x80", b"'"),
    *(bytes([one]) for one in b";$`|&<>(){}!*?~#=% \t\r"),
    *(b"\\ud800", b"\\u0000", b'"message": "', b"\\\\", b'"}]}', b"1e999", b"-1", b"null", b"[]"),
    *(b'"timestamp": -9', b"9" * 30, b"9" * 4400, b"[" * 3000, b"true", b"{}", b"CONTROL_MESSAGE", b"../../etc", b"%00", b"\x1f\x8b", b"===="),
]  # fmt: skip


def try_document(content: bytes) -> None:
    """Nothing but InvalidDocument is raised, and every sentence of it is one line with a place."""
    problems = find_problems(content.decode("utf-8", "surrogateescape"))
    assert problems is None or problems
    assert all("\n" not in problem.message for problem in problems or ())


def find_problems(text: str) -> tuple[Problem, ...] | None:
    """None for a valid document."""
    try:
        parse_lab(text)
    except InvalidDocument as refused:
        return refused.problems
    return None


def try_command(content: bytes) -> None:
    """One plain code in a command of ours, or none."""
    code = find_code(content.decode("utf-8", "surrogateescape"))
    if code is not None:
        assert re.fullmatch(r"[A-Za-z0-9/_.-]{1,512}", code)
        assert [word for word in shlex.split(render_command(code)) if word.startswith("--code")] == [f"--code={code}"]


def try_batch(content: bytes) -> None:
    """Lines as VMs write them: each is sent once, in order, in bodies that the allocator takes."""
    lines = (
        content.decode("utf-8", "replace").replace("\0", "\ud800").split("\n")
    )  # half a pair, as Python can write it
    events = [
        {"id": str(n), "timestamp": n, "message": (line * (1 + 60_000 * (n == 96)))[:MEGABYTE]}
        for n, line in enumerate(lines)
    ]
    batch = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "lab-client-test-1", "logEvents": events}
    packed = {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()}}
    bodies = list(split(decode(packed)))
    assert all(len(body) <= BODY_LIMIT for body in bodies)
    sent = [event for body in bodies for event in json.loads(body)["events"]]
    assert [event["id"] for event in sent] == [event["id"] for event in events]
    assert all(len(event["message"]) <= LONGEST_MESSAGE + 100 for event in sent)


def try_event(content: bytes) -> None:
    """An event is refused by its one error, or its lines go on in bodies that the allocator stores or refuses by its own."""
    batch = None
    with suppress(UnreadableEventError):
        batch = decode(make_event(content))
    if batch is None or batch["messageType"] != "DATA_MESSAGE":
        return
    assert not content.startswith(b"bomb\n")
    bodies = list(split(batch))
    assert all(len(body) <= BODY_LIMIT for body in bodies)
    for body in bodies:
        with suppress(BadInputError):
            make_lines(read_batch(body), NOW, 30)


def make_event(content: bytes) -> Any:
    """The first line says which layer the rest takes the place of: the whole event, its base64, its gzip, or the JSON in that (a bomb: with
    more behind it than anybody unpacks).
    """
    layer, _, rest = content.partition(b"\n")
    if layer == b"whole":
        with suppress(ValueError, RecursionError):
            return json.loads(rest)
        return rest.decode(errors="replace")
    packed = rest if layer in (b"base64", b"gzip") else gzip.compress(rest)
    data = rest if layer == b"base64" else base64.b64encode(packed + make_bomb() * (layer == b"bomb"))
    return {"awslogs": {"data": data.decode(errors="replace")}}


@cache
def make_bomb() -> bytes:
    return gzip.compress(bytes(MOST_UNPACKED))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "document": try_document,
    "command": try_command,
    "batch": try_batch,
    "event": try_event,
}


def fuzz(seed: int) -> Lived:
    """Every target, with inputs of this seed, until one fails: that is kept."""
    chance, faults = Random(seed), []
    for name, target in TARGETS.items():
        known = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
        for _ in range(INPUTS[name]):
            content = mutate(chance, chance.choice(known), known)
            if said := fail(target, content):
                faults.append(f"{keep(name, content)}: {said}")
                break
    return Lived(faults, {"inputs": sum(INPUTS.values())})


def fail(target: Callable[[bytes], None], content: bytes) -> str:
    """What was raised, or nothing."""
    try:
        target(content)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def keep(name: str, content: bytes) -> Path:
    path = CORPUS / name / f"failed-{hashlib.sha256(content).hexdigest()[:12]}"
    path.write_bytes(content)
    return path.relative_to(CORPUS)


def mutate(chance: Random, content: bytes, known: list[bytes]) -> bytes:
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(content))
        to = min(len(content), at + chance.randint(0, 30))
        other = chance.choice(known)
        start = chance.randint(0, len(other))
        put = chance.choice(
            (
                b"",
                bytes([chance.randrange(256)]),
                chance.choice(TOKENS),
                content[at:to] * chance.randint(2, 9),
                other[start : start + chance.randint(1, 200)],
            )
        )
        content = (content[:at] + put + content[to if chance.random() < 0.5 else at :])[:LONGEST]
    return content


if __name__ == "__main__":
    sys.exit(run_pieces("tests.property.fuzzing", __doc__, fuzz))
