"""A version of the desired state as the record keeps it: the text, who wrote it, and whence it came."""

from datetime import datetime
from typing import Literal

from schemas.frozen import Frozen

Source = Literal["file", "ui", "api", "rollback"]


class Version(Frozen):
    """One accepted `lablink.yaml`. A rollback is a new version with an old text."""

    version: int
    at: datetime
    author: str
    source: Source
    yaml: str
