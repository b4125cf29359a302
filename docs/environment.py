"""The page of the manual about the environment: which variables commands and the allocator read. Used by `manual.py`."""

from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr
from wording import cell, text

from schemas.settings import Settings

COMMANDS_READ = {
    "LABLINK_URL": "the server; without it a sandbox that runs in this folder, then the file below",
    "LABLINK_TOKEN": "an API token (`lablink tokens create`), in the place of name and password",
    "LABLINK_USER": "`admin`, where nothing is said",
    "LABLINK_PASSWORD": "the admin's; best from a password manager: `LABLINK_PASSWORD=$(…)`",
    "LABLINK_CONFIG": "the file below, somewhere else",
    "LABLINK_DATA": "the sandbox's data, `.lablink` where nothing is said: another folder is another sandbox",
    "LABLINK_TERRAFORM": "the Terraform or OpenTofu to use, where it is not the one on `PATH`",
    "NO_COLOR": "set to anything: no colours",
}
CONFIG = """
The file is `~/.config/lablink/config.toml` (`$XDG_CONFIG_HOME` is followed), of mode 0600 where a secret is in it:

```toml
url = "https://lab.example.org"
token_file = "token"       # beside it; or token = "…", or user = "…" and password = "…"
```

The environment comes first, then a sandbox that runs here, then the file.
"""
SERVERS_READ = {
    "LABLINK_LOG": "`json`: a JSON object a line, as in the image; else lines to be read by people",
    "LABLINK_POSTGRES_DIR": "`lablink serve`: run PostgreSQL there",
    "LABLINK_DATABASE_SECRET": "ARN of the secret in AWS with the database's password",
    "LABLINK_KEY_PATH": "`lablink keys`: the path in SSM under which the two keys are kept",
    "LABLINK_LAMBDA": "the log Lambda that `lablink serve` tells its token",
    "LABLINK_DEAD_LETTERS": "URL of the queue with log batches that could not be delivered",
}


def write_environment() -> Iterator[str]:
    yield from (
        "# Environment",
        "",
        "What should exist is in [lablink.yaml](lablink-yaml.md); the environment says where things are, and secrets.",
        "",
    )
    yield from (
        "## Commands",
        "",
        "| variable | |",
        "|---|---|",
        *(f"| `{a}` | {cell(b)} |" for a, b in COMMANDS_READ.items()),
        CONFIG,
    )
    yield from (
        "## The allocator",
        "",
        "`lablink infra` and the image set what they need; elsewhere you do. Secrets may be files of `LABLINK_KEYS`.",
        "",
    )
    yield from ("| variable | default | |", "|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = "**needed**" if field.is_required() else _setting(field.get_default())
        yield f"| `LABLINK_{name.upper()}` | {default} | {text(field.description or '')} |"
    yield from (f"| `{name}` | – | {cell(words)} |" for name, words in SERVERS_READ.items())


def _setting(value: Any) -> str:
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "–" if shown in (None, "", ()) else f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"
