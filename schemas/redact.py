"""Takes secrets out of log lines before they are stored: Chrome Remote Desktop (CRD) codes, PINs, tokens, passwords, keys.

A pattern is tried only where its mark stands, which costs little for lines that hold none. Every repetition in the patterns
is bounded or cannot overlap its neighbour, so that no line makes them slow.
"""

import re
from collections.abc import Iterator, Sequence

HIDDEN = "[redacted]"
APART = "\0"  # between lines; none of them holds one when it comes here

_NAMED = r"""[_-]?[\w-]{0,20}["']?\s{0,3}[=:]\s{0,3}"""
_VALUE = r"""["']?(?:bearer\s{1,3})?([^\s\0"'@,;&]{4,})"""
_NAMES = ("token", "secret", "password", "passwd", "passphrase", "api_key", "api-key", "apikey", "access_key")
_PATTERNS = {
    **{name: rf"{name}(?![a-z])(?:{_NAMED}|(?<=--{name})\s{{1,3}}){_VALUE}" for name in _NAMES},
    "accesskey": rf"accesskey(?!id){_NAMED}{_VALUE}",  # AWS's JSON has SecretAccessKey
    "authorization": r"""authorization["']?\s{0,3}[=:]\s{0,3}["']?(?:basic|bearer|token)\s{1,3}([^\s\0"']+)""",
    "bearer": r"bearer\s{1,3}([\w.~+/=-]{16,})",
    "--code": r"""--code(?:\s{1,3}|=)["']?([^\s\0"']+)""",
    "4/0": r"(?<!\w)(4/0[\w-]{10,})",  # what Google's OAuth codes look like
    "4%2f0": r"(?<!\w)(4%2f0[\w-]{10,})",
    "pin": r"""(?<![a-z])pin(?![a-z])["']?\s{0,3}(?:[=:]|is\b)?\s{0,3}["']?(\d{6,})""",
    "akia": r"(?<!\w)(akia[a-z0-9]{16})(?!\w)",
    "asia": r"(?<!\w)(asia[a-z0-9]{16})(?!\w)",
    **{mark: rf"(?<!\w)({mark}[\w-]{{20,}})" for mark in ("ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "hf_")},
    "xox": r"(?<!\w)(xox[abeprs]-[\w-]{10,})",  # of Slack
    "hooks.slack.com/": r"hooks\.slack\.com/services/([\w/]{20,})",
    "lablink_": r"(?<![\w-])lablink_(?:session=|seat=)?([\w.-]{43,})",  # an API token or a cookie of ours
    "://": r"://(?:[^\s\0/:@]{1,64}:)?((?<=:)[^\s\0/@]{1,256}|[^\s\0/@]{16,256})@",
}
RULES = tuple((mark, re.compile(pattern, re.IGNORECASE)) for mark, pattern in _PATTERNS.items())
"""What must stand there in lower case, and what then is the secret: the pattern's group."""
RARER = {"://": "@"}
"""What must stand somewhere, too, and does so in fewer logs than the mark."""


def redact_lines(lines: Sequence[str]) -> list[str]:
    """The same lines with `[redacted]` where a secret stood; the word that names it stays."""
    text = APART.join(lines)
    lowered = _lower(text)
    near = [(mark, rule) for mark, rule in RULES if RARER.get(mark, mark) in lowered]
    spans = sorted(span for mark, rule in near for span in _find(text, lowered, mark, rule))
    return _hide(text, spans).split(APART) if spans else list(lines)


def _lower(text: str) -> str:
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)  # "İ" becomes two in lower case


def _find(text: str, lowered: str, mark: str, rule: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    at = lowered.find(mark)
    while at >= 0:
        if found := rule.match(text, at):
            yield found.span(1)
        at = lowered.find(mark, at + len(mark))


def _hide(text: str, spans: Sequence[tuple[int, int]]) -> str:
    parts = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += [text[done:start], HIDDEN]
        done = max(done, end)
    return "".join([*parts, text[done:]])
