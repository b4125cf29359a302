"""`database` and `api` against a real migrated PostgreSQL and a real application."""

import base64
from itertools import pairwise

import psycopg
import pytest
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from pictures.calls import draw_calls
from pictures.drawing import draw_kind
from pictures.kinds import Format, Kind, Preset
from pictures.sheet import draw
from schemas.settings import Settings
from tests.pictures.drawn import read_drawn

TABLES = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name NOT IN (SELECT inhrelid::regclass::text FROM pg_inherits)"""
FOREIGN = "ALTER TABLE evidence ADD FOREIGN KEY (run_id) REFERENCES run (id)"


def test_every_table_column_and_reference_of_a_migrated_database_is_drawn(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(FOREIGN)
        found = conn.execute(TABLES).fetchall()
    monkeypatch.setenv("LABLINK_DATABASE_DSN", dsn)
    for preset in (Preset.PAPER, Preset.POSTER):
        drawn = read_drawn(draw_kind(Kind.DATABASE, None, preset, Format.SVG))
        assert drawn.cards == {table for table, _ in found}
        assert {("evidence", "run"), ("seat", "assignment"), ("vm", "pool"), ("vm_log", "vm")} <= drawn.arrows
        assert all(tail != head for tail, head in drawn.arrows)
    assert {column for _, column in found} <= {*drawn.words}


def test_a_foreign_key_is_drawn_otherwise_than_a_name(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABLINK_DATABASE_DSN", dsn)
    before = draw_kind(Kind.DATABASE, None, Preset.PAPER, Format.SVG).count(b"stroke-dasharray")
    with psycopg.connect(dsn) as conn:
        conn.execute(FOREIGN)
    after = draw_kind(Kind.DATABASE, None, Preset.PAPER, Format.SVG).count(b"stroke-dasharray")
    assert before - after == 1


def test_every_route_of_the_api_is_drawn() -> None:
    key = base64.b64encode(bytes(32)).decode()
    settings = Settings(database_dsn="", deployment_secret="of nobody", encryption_key=key)
    app = create_app(settings, AsyncConnectionPool("", open=False))
    words = read_drawn(draw(draw_calls(app), Preset.SCREEN, Format.SVG)).words
    drawn = set(pairwise(words))
    routes = {
        (str(method), route.path_format)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        for method in handler.http_methods
        if method not in ("OPTIONS", "HEAD") and not route.path_format.startswith(("/static", "/schema"))
    }
    raw = {
        ("POST", route.path_format)
        for route in app.routes
        if isinstance(getattr(route, "route_handler", None), ASGIRouteHandler)
    }
    assert len(routes) > 100
    assert raw == {("POST", "/vm_startup")}
    assert drawn >= routes | raw
    assert {path for method, path in drawn if method in ("GET", "POST", "PUT", "PATCH", "DELETE")} == {
        path for _, path in routes | raw
    }
