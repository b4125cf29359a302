"""moto's EC2, imported in half the time: parsed is once what moto parses three times, and when it is asked for what moto parses in advance.

By itself moto parses, each time that it is imported, which instance types every region offers, and botocore's description of EC2
for each of AWS's partitions. `import_ec2` has to come before anything else of moto's EC2.
"""

from collections import UserDict
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

import boto3
from moto.utilities import utils

_FOLDER = "ec2/resources/instance_type_offerings"
_read = utils.load_resource


class Offerings(UserDict[str, Any]):
    """The instance types of one kind of location (`region`, `availability-zone`, …), by region, read when they are asked for."""

    def __init__(self, kind: str, regions: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(regions))
        self.kind = kind

    def __getitem__(self, region: str) -> Any:
        if self.data[region] is None:
            table = _read(f"{_FOLDER}/{self.kind}/{region}.json")
            self.data[region] = [{**one, "LocationType": self.kind} for one in table]
        return self.data[region]


def import_ec2() -> None:
    session = boto3.Session()  # which keeps what it has parsed
    with patch.object(utils, "load_resource", _read_all_but_offerings), patch.object(boto3, "Session", lambda: session):
        from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS  # noqa: PLC0415
    for kind, regions in INSTANCE_TYPE_OFFERINGS.items():
        INSTANCE_TYPE_OFFERINGS[kind] = Offerings(kind, regions)


def _read_all_but_offerings(path: str) -> Any:
    return [] if path.startswith(_FOLDER) else _read(path)
