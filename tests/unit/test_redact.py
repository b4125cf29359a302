"""Secrets in lines of VMs: hidden however they are written, and what is none stays to be read."""

import pytest

from schemas.redact import HIDDEN, redact_lines

KEY = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "line",
    [
        f'  "SecretAccessKey" : "{KEY}",',  # what the metadata service says of a role
        f'"Token": "{KEY}"',
        f"AWS_SECRET_ACCESS_KEY={KEY}",
        f"login --password {KEY} --user ada",
        f'login --token "{KEY}"',
        f"passphrase: {KEY}",
        f"Authorization: Bearer {KEY}",
        f"authorization: token {KEY}",
        f"git clone https://{KEY}@github.com/a/b",
        f"git clone https://ada:{KEY}@github.com/a/b",
        f"postgresql://ada:{KEY[:3]}@db.example.org",
        f"using glpat-{KEY}",
        f"using hf_{KEY}",
        f"using gho_{KEY}",
        f"using xoxb-{KEY}",
        f"posted to https://hooks.slack.com/services/T0/B0/{KEY}",
        f"LABLINK_TOKEN lablink_{KEY}_1234",
        f"Cookie: lablink_session=1790000000.{KEY}",
        f"Set-Cookie: lablink_seat=6f1c.{KEY}",
    ],
)
def test_a_secret_is_hidden(line: str) -> None:
    (told,) = redact_lines([line])
    assert HIDDEN in told
    assert KEY[:3] not in told


@pytest.mark.parametrize(
    "line",
    [
        "lablink_requests_in_progress is 3",
        "the password is wrong",
        "usage: login --password … --token",
        "AccessKeyId: none",
        "ssh://git@github.com/talmolab/sleap.git",
        "tokens: 3",
        "a secretary, a high-fidelity hf_ pipe, xoxo",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redact_lines([line]) == [line]
