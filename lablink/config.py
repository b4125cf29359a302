"""The file that says which server `lablink` talks to, where neither the environment nor a sandbox here does.

`$LABLINK_CONFIG`, else `lablink/config.toml` in `$XDG_CONFIG_HOME` (as a rule `~/.config`): the keys `url`, `token` or `token_file`, or
`user` and `password`, as the variables LABLINK_URL and so on. What is secret in it is for its owner's eyes alone.
"""

import os
import stat
import tomllib
from pathlib import Path

from lablink.errors import Failed
from schemas.values import nearest

KEYS = ("url", "user", "password", "token", "token_file")
SECRET = ("password", "token")


def config_path() -> Path:
    if named := os.environ.get("LABLINK_CONFIG"):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "lablink/config.toml"


def read_config() -> dict[str, str]:
    """Its keys, the text of `token_file` as `token`; empty where there is no such file. Raises `Failed` for one that cannot be used."""
    path = config_path()
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        if os.environ.get("LABLINK_CONFIG"):
            raise Failed(f"{path} is not there: LABLINK_CONFIG names a file with the server's url.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Failed(f"{path} cannot be read: {error}.") from None
    _check(path, found)
    if name := found.pop("token_file", ""):
        found["token"] = _read_token(path, name)
    return found


def _check(path: Path, found: dict[str, object]) -> None:
    for key, value in found.items():
        if key not in KEYS:
            meant = nearest(key, list(KEYS))
            raise Failed(
                f"{path}: there is no {key!r}"
                + (f"; did you mean {meant!r}?" if meant else f", but {', '.join(KEYS)}.")
            )
        if not isinstance(value, str):
            raise Failed(f"{path}: {key} must be text, between quotation marks.")
    if "url" not in found:
        raise Failed(f'{path}: url is missing, such as url = "https://lab.example.org".')
    if any(key in found for key in SECRET):
        _check_private(path)


def _check_private(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Failed(f"{path} holds a secret and can be read by others: `chmod 600 {path}`.")


def _read_token(path: Path, name: str) -> str:
    file = path.parent / Path(name).expanduser()
    try:
        _check_private(file)
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: the token_file {file} cannot be read: {error}.") from None
