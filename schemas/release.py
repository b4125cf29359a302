"""Which LabLink this is, as its package says: made from the newest tag of git when the package was built. The one place that is asked."""

from importlib.metadata import version

VERSION = version("lablink")
