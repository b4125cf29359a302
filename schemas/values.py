"""The kinds of value that `lablink.yaml` is written in: durations, names, networks, AWS identifiers.

Used by the models of the document (`schemas.lab`). Each kind checks itself in one sentence that says what would be
right, and brings its own fragment of JSON Schema. Touches nothing outside.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

MAX_TEXT = 2048  # characters; the longest that AWS takes for any of these is a parameter path of 1011
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(0|[1-9]\d{0,7})([smhd])")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(?P<zone>[Zz]|[+-]\d\d:\d\d)?")


def refuse(sentence: str, suggestion: str = "") -> PydanticCustomError:
    """The error of a value; `suggestion` is what was probably meant, shown as a question after the sentence."""
    return PydanticCustomError("refused", "{sentence}", {"sentence": sentence, "suggestion": suggestion})


def nearest(word: str, words: list[str]) -> str:
    """The entry of `words` that `word` is probably a slip of, or an empty string."""
    close = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return close[0] if close else ""


@dataclass(frozen=True)
class Written:
    """Annotation of a text that matches `kind` in full (an ECMA-compatible pattern: editors get it too)."""

    kind: str
    sentence: str

    def check(self, text: str) -> str:
        if len(text) > MAX_TEXT or not re.fullmatch(self.kind, text):
            raise refuse(self.sentence)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({self.kind})$"}


class Optional(Written):
    """As `Written`, where an empty text stands for "not set"."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(f"({kind})?", sentence)


def unique(what: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Validator of a list whose entries must differ."""

    def check(entries: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(entries)) < len(entries):
            raise refuse(f"names the same {what} twice")
        return entries

    return check


# -- durations and moments --------------------------------------------------------------------------


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `8h`, `7d`; raises ValueError with a sentence for all else, also beyond ten years."""
    found = DURATION.fullmatch(text)
    if not found:
        raise ValueError("must be a duration such as 90s, 15m, 8h or 7d")
    seconds = int(found[1]) * UNITS_S[found[2]]
    if seconds > 3650 * UNITS_S["d"]:
        raise ValueError("must be a duration of at most 3650d")
    return timedelta(seconds=seconds)


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `length`, which is a whole number of seconds."""
    seconds = int(length.total_seconds())
    unit = next((unit for unit in "dhm" if seconds and seconds % UNITS_S[unit] == 0), "s")
    return f"{seconds // UNITS_S[unit]}{unit}"


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta) and value >= timedelta() and not value.microseconds:
        return value
    if type(value) is int:
        raise refuse("must be a duration with its unit, such as 90s, 15m, 8h or 7d", f"{value}m")
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise refuse(str(error)) from None


def _positive(length: timedelta) -> timedelta:
    if not length:
        raise refuse("must be longer than zero")
    return length


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        found, zone = True, value.tzinfo is not None
    else:
        match = MOMENT.fullmatch(value) if isinstance(value, str) else None
        found, zone = match is not None, bool(match and match["zone"])
    if not found:
        raise refuse("must be a date and time such as 2026-12-01T09:00-08:00")
    if not zone:
        raise refuse("must say its offset from UTC, as in 2026-12-01T09:00-08:00")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(0|[1-9][0-9]{0,7})[smhd]$",
            "examples": ["90s", "15m", "8h", "7d"],
        }
    ),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["2026-12-01T09:00-08:00"]}),
]

# -- numbers and flags: 1 is not true, and true is not 1 --------------------------------------------

Whole = Annotated[int, Strict()]
Size = Annotated[Whole, Field(ge=0, le=1000)]
Flag = Annotated[bool, Strict()]
Usd = Annotated[float, Strict(), Field(gt=0, le=1_000_000, allow_inf_nan=False)]

# -- names and text ---------------------------------------------------------------------------------

Name = Annotated[
    str,
    Written(
        r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "must be at most 63 lower-case letters, digits and hyphens, begin with a letter and end with a letter or digit",
    ),
]
Environment = Annotated[
    str,
    Written(
        r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?",
        "must be dev, test, ci-test, prod or another name of at most 20 lower-case letters, digits and hyphens",
    ),
]
# What reaches a script or a header: printable, on one line.
Line = Annotated[
    str,
    Written(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,1000}",
        "must be one line of printable text",
    ),
]
RelativePath = Annotated[
    str,
    Written(
        r"(?![/~])(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]{1,255}",
        "must be a path below the folder of this file, such as deploy/startup.sh",
    ),
]
SoftwareName = Annotated[
    str,
    Optional(
        r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}",
        "must be the name of a process, such as sleap",
    ),
]
Extension = Annotated[
    str,
    Optional(
        r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,31}",
        "must be a file extension without its dot, such as slp",
    ),
]
EMAIL = r"[^\s@\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.-]{1,189}"
Email = Annotated[str, Written(EMAIL, "must be an email address")]
OptionalPlainEmail = Annotated[  # it is pasted into Caddy's file, where quotes and braces mean something
    str,
    Optional(
        r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[A-Za-z0-9.-]{1,189}",
        "must be an email address of letters, digits and . _ + -",
    ),
]
Domain = Annotated[
    str,
    Optional(
        r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "must be a domain name such as lablink.example.org",
    ),
]
ReceiverUrl = Annotated[
    str,
    Written(
        r"(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?(/[!-~]*)?",
        "must be a URL that begins with https:// (or http://127.0.0.1, to try things out)",
    ),
]
Repository = Annotated[
    str,
    Optional(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~%/@+-]+",
        "must be the http(s) URL of a git repository, such as https://github.com/talmolab/sleap-tutorial-data.git",
    ),
]
IMAGE = (
    r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
Image = Annotated[
    str,
    Written(
        IMAGE,
        "must be a reference to a container image, such as ghcr.io/owner/name:tag",
    ),
]
OptionalImage = Annotated[
    str,
    Optional(
        IMAGE,
        "must be a reference to a container image, such as ghcr.io/owner/name:tag, or empty",
    ),
]
