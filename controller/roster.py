"""Roster files of courses: one email a line, beside `lablink.yaml`. Read when the document is, and at every tick for changes."""

import re
from pathlib import Path

from schemas.values import EMAIL

PERSON = re.compile(EMAIL)
LONGEST = 1024 * 1024  # bytes; a thousand seats' emails are a quarter of it at most


def read_roster(path: Path) -> tuple[str, ...] | None:
    """The people of a roster, each once and in order, or None when the file is not there, is no text, is too long, or has a line that is no email.

    Emails are trimmed and lower-cased as everywhere; empty lines and what follows a `#` are passed over.
    """
    try:
        if path.stat().st_size > LONGEST:
            return None
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    emails = [email for line in lines if (email := line.partition("#")[0].strip().lower())]
    return tuple(dict.fromkeys(emails)) if all(PERSON.fullmatch(email) for email in emails) else None
