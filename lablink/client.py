"""The command line's way to `/api/v1`: where the server is, who asks, and what its refusals mean in one sentence.

Used by the commands and by the sandbox's display. Touches nothing but HTTP, the environment and `<data>/sandbox.json`.
"""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote, urlsplit

import httpx

from lablink.config import config_path, read_config
from lablink.errors import Failed

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A LabLink server and the login for it. `hint` is what to do when nobody answers there."""

    url: str
    user: str = "admin"
    password: str = ""
    token: str = ""
    hint: str = "check LABLINK_URL, or start a server there with `lablink serve`"


def data_folder() -> Path:
    """Where the sandbox of this place keeps its data: LABLINK_DATA, else `.lablink` here."""
    return Path(os.environ.get("LABLINK_DATA", ".lablink"))


def find_server() -> Server:
    """What LABLINK_URL, LABLINK_USER, LABLINK_PASSWORD and LABLINK_TOKEN name, else the sandbox that runs here, else the configuration's server.

    What the environment says of the login holds in each case.
    """
    env = os.environ
    login = {
        name: env[f"LABLINK_{name.upper()}"]
        for name in ("user", "password", "token")
        if env.get(f"LABLINK_{name.upper()}")
    }
    if url := env.get("LABLINK_URL"):
        return Server(url.rstrip("/"), **login)
    folder = data_folder()
    if found := _read_sandbox(folder / "sandbox.json"):
        own = {"user": found["admin_user"], "password": found["admin_password"] or ""}
        return Server(found["url"], **{**own, **login}, hint=_sandbox_hint(folder, found))
    if config := read_config():
        hint = f"check url in {config_path()}, or start a server there with `lablink serve`"
        if "password" in login:
            config.pop("token", None)  # which would be believed before it
        return Server(config.pop("url").rstrip("/"), **{**config, **login}, hint=hint)
    raise Failed(
        f"No LabLink server is known: no sandbox runs in {folder}, LABLINK_URL is not set, and there is no {config_path()}. "
        "Start one with `lablink up`, or set LABLINK_URL, LABLINK_USER and LABLINK_PASSWORD."
    )


def _sandbox_hint(folder: Path, found: dict[str, Any]) -> str:
    if _is_alive(found.get("pids", {}).get("sandbox")):
        return "its API does not answer just now; the sandbox starts it again by itself, so try again in some seconds"
    return f"the sandbox of {folder} has ended without saying so; start it again with `lablink up`"


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process is there all the same
        return True
    return True


def _read_sandbox(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be read ({error}): start the sandbox again with `lablink up`.") from None


class LabLink:
    """A connection to one server. Every call raises `Failed` with the server's own sentence when it is refused."""

    def __init__(self, server: Server) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        auth = None if server.token else (server.user, server.password)
        # A proxy of the environment is for the way out, never for a server on this machine.
        outside = not _is_loopback(server.url)
        self._http = httpx.Client(base_url=server.url, headers=headers, auth=auth, timeout=TIMEOUT_S, trust_env=outside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def stream(self, path: str, params: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        """A GET outside `/api/v1` whose answer is read while it comes. No limit between two pieces: VMs may be slow."""
        return self._http.stream("GET", path, params=params, timeout=httpx.Timeout(TIMEOUT_S, read=None))

    def get(self, path: str, **params: str | int) -> Any:
        return self.call("GET", path, params=params)

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        text: str | None = None,
        params: dict[str, str | int] | None = None,
        match: int | None = None,
    ) -> Any:
        """The decoded answer to one call. `text` is sent as YAML; `match` is the version it was made from."""
        headers = {"Accept": "application/json"}
        if text is not None:
            headers["Content-Type"] = "application/yaml"
        if match is not None:
            headers["If-Match"] = str(match)
        content = text.encode() if text is not None else None
        try:
            response = self._http.request(
                method, f"/api/v1{path}", json=json, content=content, params=params, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failed(_unreachable(self.server, error)) from None
        if response.is_success:
            return _decode(response)
        raise Failed(_refusal(self.server, response))


def download(lablink: LabLink, path: str, params: dict[str, str], target: IO[bytes]) -> Iterator[int]:
    """Write the answer of a GET outside `/api/v1` into a file as it comes; yields how many bytes each piece had."""
    try:
        with lablink.stream(path, params) as response:
            if not response.is_success:
                response.read()
                raise Failed(_refusal(lablink.server, response))
            for chunk in response.iter_bytes(256 * 1024):
                target.write(chunk)
                yield len(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failed(_unreachable(lablink.server, error)) from None


def path_of(*parts: str | int) -> str:
    """A path whose parts are quoted, so that a name with a slash or a question mark stays one part."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unreachable(server: Server, error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"LabLink at {server.url} did not answer within {TIMEOUT_S:.0f} s: see its log, and try again."
    if isinstance(error, httpx.ConnectError):
        return f"No LabLink answers at {server.url}: {server.hint}."
    return f"LabLink at {server.url} could not be asked ({error or type(error).__name__}): {server.hint}."


def _decode(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        raise Failed(f"{response.request.url} answered with something that is not JSON: is it LabLink?") from None


def _refusal(server: Server, response: httpx.Response) -> str:
    if response.status_code == 401 and server.token:
        return f"{server.url} does not accept the token in LABLINK_TOKEN: it was revoked, has expired, or is another server's."
    if response.status_code == 401:
        return (
            f"{server.url} does not accept the login of {server.user!r}: "
            "set LABLINK_USER and LABLINK_PASSWORD, or LABLINK_TOKEN."
        )
    body = _body(response)
    if problems := body.get("problems"):
        return "\n".join(["The document is not valid, and nothing was changed.", *map(str, problems)])
    sentence = str(
        body.get("error") or f"{response.request.url} answered {response.status_code} {response.reason_phrase}"
    )
    return sentence[:1].upper() + sentence[1:].rstrip(".") + ("" if sentence.endswith("?") else ".")


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
