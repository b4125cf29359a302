"""What is wrong with a document, and where; made by `schemas.document`, shown by whoever reads a document."""

from typing import NamedTuple


class Problem(NamedTuple):
    """`line` and `column` count from 1; `field` is a dotted path, empty for the whole document."""

    file: str
    line: int
    column: int
    field: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        question = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {field}{self.message}{question}"


class InvalidDocument(Exception):
    """A document that is not in force and never will be as it stands; every problem that was found is named."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
