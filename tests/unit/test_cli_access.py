"""`lablink tokens` and `lablink credentials`: what they send, what they print, and where no secret may be."""

import json
import os
from unittest.mock import patch

from tests.unit.cli import Answer, answering, run_cli

TOKEN = {
    "name": "ci",
    "scope": "operate",
    "created_at": "2026-11-01T09:00:00Z",
    "created_by": "admin/ada",
    "expires_at": None,
    "last_used_at": None,
}
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SHOWN = {
    "set": True,
    "pinned_account_id": "123456789012",
    "account_id": "123456789012",
    "arn": "arn:aws:iam::123456789012:user/lablink",
    "access_key_id": "…LE01",
    "temporary": True,
    "set_at": "2026-11-01T09:00:00Z",
    "set_by": "admin/ada",
}


def test_made_token_is_alone_on_standard_output() -> None:
    with answering({"POST /api/v1/tokens": Answer(200, {"token": "lablink_text", **TOKEN})}) as calls:
        done = run_cli("tokens", "create", "ci", "--scope", "operate", "--expires", "90d")
    assert (done.status, done.out) == (0, "lablink_text\n")
    assert json.loads(calls[0].body) == {"name": "ci", "scope": "operate", "expires_in": "90d"}


def test_tokens_are_listed_and_revoked() -> None:
    answers = {
        "GET /api/v1/tokens": Answer(200, {"items": [TOKEN], "next": None}),
        "DELETE /api/v1/tokens/c%2Fi": Answer(200, {"message": "token c/i is revoked"}),
    }
    with answering(answers):
        lines = run_cli("tokens", "list").out.splitlines()
        assert lines[0].split()[:2] == ["name", "scope"]
        assert lines[1].split()[:3] == ["ci", "operate", "admin/ada"]
        assert run_cli("tokens", "revoke", "c/i").out == "Token c/i is revoked.\n"
    with answering({"GET /api/v1/tokens": Answer(200, {"items": [], "next": None})}):
        assert run_cli("tokens", "list").out == "There is no API token.\n"
    assert run_cli("tokens", "create", "ci", "--scope", "root").status == 2


def test_refused_token_is_named_as_such() -> None:
    with answering({}), patch.dict(os.environ, {"LABLINK_TOKEN": "lablink_old"}):
        done = run_cli("status")
    assert (done.status, "LABLINK_TOKEN" in done.err, "lablink_old" in done.err) == (1, True, False)


def test_secret_comes_from_standard_input() -> None:
    with answering({"PUT /api/v1/credentials": Answer(200, {"message": "LabLink works with …LE01"})}) as calls:
        done = run_cli("credentials", "set", "AKIAEXAMPLEEXAMPLE01", "--session-token", stdin=f"{SECRET}\ntoken\n")
    assert (done.status, done.out) == (0, "LabLink works with …LE01.\n")
    assert json.loads(calls[0].body) == {
        "aws_access_key_id": "AKIAEXAMPLEEXAMPLE01",
        "aws_secret_access_key": SECRET,
        "aws_session_token": "token",
    }


def test_keys_come_from_the_environment_when_that_is_asked_for() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE01", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": ""}
    with answering({"PUT /api/v1/credentials": Answer(200, {"message": "done"})}) as calls:
        with patch.dict(os.environ, keys):
            assert run_cli("credentials", "set", "--from-environment").status == 0
        assert json.loads(calls[0].body) == {name.lower(): value for name, value in keys.items() if value}
        with patch.dict(os.environ, keys | {"AWS_SECRET_ACCESS_KEY": ""}):
            assert run_cli("credentials", "set", "--from-environment").status == 1
        assert run_cli("credentials", "set").status == 2
        assert run_cli("credentials", "set", "AKIAEXAMPLEEXAMPLE01", "--from-environment").status == 2


def test_credentials_are_shown_and_forgotten() -> None:
    answers = {
        "GET /api/v1/credentials": Answer(200, SHOWN),
        "DELETE /api/v1/credentials": Answer(200, {"message": "the AWS keys are forgotten"}),
    }
    with answering(answers):
        lines = run_cli("credentials", "show").out.splitlines()
        assert lines[0] == "temporary key …LE01 of arn:aws:iam::123456789012:user/lablink"
        assert lines[2] == "this deployment lives in AWS account 123456789012"
        assert run_cli("credentials", "forget").out == "The AWS keys are forgotten.\n"
    unset = {"set": False, "message": "none is set", "pinned_account_id": None}
    with answering({"GET /api/v1/credentials": Answer(200, unset)}):
        assert run_cli("credentials", "show").out == "None is set.\n"
