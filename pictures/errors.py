"""What keeps a picture from being drawn. `lablink.diagram` shows each as one sentence.

NotDrawn
├── NotUnderstood   a `.tf` file has an expression that `pictures.expression` does not know
└── Missing         a program or package that drawing needs is not installed
"""


class NotDrawn(Exception):
    """What happened, to what, and what to do next."""


class NotUnderstood(NotDrawn):
    """Part of a `.tf` file that the evaluator does not know."""


class Missing(NotDrawn):
    """Says which, and the command that installs it."""
