"""The log of a process: lines on stderr, as JSON where `LABLINK_LOG=json` says so, else to be read by people; secrets are taken out of each.

Called once by each program (API, controller, `lablink serve`, the sandbox). What a task binds with `structlog.contextvars` (the turn of a handler, a request) stands on each of its lines.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from pydantic import SecretStr

from schemas.settings import Settings

STARS = "********"
SHORTEST = 8  # a shorter secret could be part of any word
SHAPES = (
    re.compile(r"(?P<before>://[^:/@\s]*:)[^@/\s]+(?=@)"),  # the password of a URL
    re.compile(r"(?P<before>\bpassword=)('[^']*'|\S+)"),  # of a connection string
    re.compile(r"(?P<before>--code=\"?)[^\"\s]+"),  # of Chrome Remote Desktop
    re.compile(r"(?P<before>\b(?i:bearer|basic) )[A-Za-z0-9+/=_.~-]{8,}"),
    re.compile(r"(?P<before>)\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"),  # a bcrypt hash
)
Line = MutableMapping[str, Any]


class Redact:
    """A processor that knows the process's own secrets by value, and others by their shape, wherever in a line they stand."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def learn(self, settings: Settings) -> None:
        found = {value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)}
        self._values = sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)

    def __call__(self, _logger: object, _method: str, line: Line) -> Line:
        return {name: self._clean(value) for name, value in line.items()}

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._clean(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value)
        for secret in self._values:
            text = text.replace(secret, STARS)
        for shape in SHAPES:
            text = shape.sub(rf"\g<before>{STARS}", text)
        return text


class PatientStderr:
    """Standard error, whose disk may be full: then a line is lost, and nothing else."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


redact = Redact()


def set_up_log(stream: TextIO | None = None) -> None:
    """Before anything else; into standard error, where no stream is given. Tracebacks come without the values of variables: those may be
    PINs, codes, passwords and keys. What libraries say by `logging` goes the same way."""
    stream = stream or cast(TextIO, PatientStderr())
    marks: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.add_log_level,
    ]
    end = [structlog.processors.format_exc_info, redact, _choose_renderer(stream)]
    structlog.configure(processors=[*marks, *end], logger_factory=structlog.PrintLoggerFactory(stream))
    theirs = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*marks, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(theirs)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _choose_renderer(stream: TextIO) -> Any:
    if os.environ.get("LABLINK_LOG") == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
