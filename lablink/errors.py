"""The one exception of the command line: a sentence for standard error. `lablink.__main__` prints it and exits with 1."""


class Failed(Exception):
    """What happened, to what, and what to do next; further lines (problems of a document) may follow the sentence."""
