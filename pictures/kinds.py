"""Which pictures there are, for what, and as what. Needs none of the packages that draw, so that a shell can complete the names."""

from enum import StrEnum


class Kind(StrEnum):
    ARCHITECTURE = "architecture"
    DETAILED = "architecture-detailed"
    NETWORK = "network-flow"
    LOGS = "logging-pipeline"
    PROVISIONING = "vm-provisioning"
    CONNECTION = "crd-connection"
    DATABASE = "database"
    API = "api"

    @property
    def needs_document(self) -> bool:
        """Whether it shows a deployment, or LabLink itself."""
        return self not in (Kind.DATABASE, Kind.API)


class Preset(StrEnum):
    PAPER = "paper"  # for print: at most a page of A4
    POSTER = "poster"  # A1
    SCREEN = "screen"  # 1920 by 1080


class Format(StrEnum):
    PNG = "png"
    SVG = "svg"
    PDF = "pdf"
