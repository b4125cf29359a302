"""Makes the picture that is asked for, and draws it. Called by `lablink diagram` and the manual."""

import os
from contextlib import nullcontext

from pictures.architecture import draw_architecture
from pictures.calls import draw_calls, make_api
from pictures.catalog import newest_schema, read_tables
from pictures.connection import draw_connection
from pictures.database import draw_database
from pictures.detailed import draw_detailed
from pictures.facts import Facts
from pictures.kinds import Format, Kind, Preset
from pictures.logs import draw_logs
from pictures.network import draw_network
from pictures.picture import Picture
from pictures.provisioning import draw_provisioning
from pictures.sheet import draw

OF_A_DEPLOYMENT = {
    Kind.ARCHITECTURE: draw_architecture,
    Kind.DETAILED: draw_detailed,
    Kind.NETWORK: draw_network,
    Kind.LOGS: draw_logs,
    Kind.PROVISIONING: draw_provisioning,
    Kind.CONNECTION: draw_connection,
}


def draw_kind(kind: Kind, facts: Facts | None, preset: Preset, format_: Format) -> bytes:
    """The bytes of a picture; `facts` for those that show a deployment. Raises `NotDrawn`."""
    return draw(make_picture(kind, facts, preset), preset, format_)


def make_picture(kind: Kind, facts: Facts | None, preset: Preset) -> Picture:
    if facts is not None and kind in OF_A_DEPLOYMENT:
        return OF_A_DEPLOYMENT[kind](facts)
    if kind is Kind.API:
        return draw_calls(make_api())
    given = os.environ.get("LABLINK_DATABASE_DSN")
    with nullcontext(given) if given else newest_schema() as dsn:
        return draw_database(read_tables(dsn), whole=preset is Preset.POSTER)
