"""What a document keeps from those who may not declare: hidden however it is written, and nothing else changes."""

import pytest

from schemas.yaml_hidden import HIDDEN, hide_secrets

STARS = f'"{HIDDEN}"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pools:\n  a:\n    access_code: open  # of May\n", f"pools:\n  a:\n    access_code: {STARS}  # of May\n"),
        ("pools: {a: {access_code: 'it''s', size: 1}}\n", f"pools: {{a: {{access_code: {STARS}, size: 1}}}}\n"),
        ('{"pools": {"a": {"access_code": "\\u0061bcd"}}}', f'{{"pools": {{"a": {{"access_code": {STARS}}}}}}}'),
        ("a:\n  access_code: >-\n    folded\n    text\n  size: 2\n", f"a:\n  access_code: {STARS}\n  size: 2\n"),
        ("a: {software: &x open, access_code: *x}\n", f"a: {{software: {STARS}, access_code: {STARS}}}\n"),
        ("a: &a {access_code: open}\nb: *a\n", f"a: &a {{access_code: {STARS}}}\nb: *a\n"),
        ('admin: {user: ada, password_hash: "$2b$12$x"}\n', f"admin: {{user: ada, password_hash: {STARS}}}\n"),
        ("notify:\n- slack: https://x/y\n  on: [A]\n", f"notify:\n- slack: {STARS}\n  on: [A]\n"),
        (
            "# access_code: open # of May\na: 1 #webhook: 'https://x/y'\n",
            f"# access_code: {HIDDEN}\na: 1 #webhook: {HIDDEN}\n",
        ),
        ("a: 1\n# [{on: [A], 'slack' : https://x/y}]\n", f"a: 1\n# [{{on: [A], 'slack' : {HIDDEN}\n"),
        (
            "a: 1\r\n# access_code: open\r\nb: 2\r# slack: x/y\r",
            f"a: 1\r\n# access_code: {HIDDEN}\r\nb: 2\r# slack: {HIDDEN}\r",
        ),
        ("courses: {c: {access_code: 12345678}}\r\n", f"courses: {{c: {{access_code: {STARS}}}}}\r\n"),
    ],
)
def test_secret_is_starred_out_however_it_is_written(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pools:\n  a:\n    access_code:   # none\n  b: {access_code: null, size: 1}\n",
        "a: 1\n# the access_code is told in class; slack, too\n# access_code:\n",
    ],
)
def test_where_nothing_is_secret_nothing_changes(text: str) -> None:
    assert hide_secrets(text) == text


@pytest.mark.parametrize("text", ["pools: [", "a: open\na: b\n", "a: !!str {access_code: open}\n"])
def test_what_cannot_be_read_is_not_shown(text: str) -> None:
    assert hide_secrets(text).startswith("# this text is no document any more")
