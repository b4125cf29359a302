"""What a connection string leaves open is filled in, so that a database that is gone without a word is found in seconds."""

from psycopg.conninfo import conninfo_to_dict

from store.db import NETWORK, find_the_dead_soon


def test_a_dsn_of_either_form_gets_keep_alives() -> None:
    for dsn in ("postgresql://lablink@db.example.org/lablink", "host=db.example.org user=lablink dbname=lablink"):
        told = conninfo_to_dict(find_the_dead_soon(dsn))
        assert (told["host"], told["user"], told["dbname"]) == ("db.example.org", "lablink", "lablink")
        assert {name: told[name] for name in NETWORK} == {name: str(value) for name, value in NETWORK.items()}


def test_what_a_dsn_says_itself_holds() -> None:
    told = conninfo_to_dict(find_the_dead_soon("host=db.example.org keepalives_idle=600 connect_timeout=60"))
    assert (told["keepalives_idle"], told["connect_timeout"]) == ("600", "60")
