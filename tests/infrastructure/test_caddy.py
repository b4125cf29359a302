"""Caddy itself with the files that we give it: it takes them, hostile names stay values of theirs, and nobody claims an address through it."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from lablink.ports import free_port
from schemas.lab import Lab
from tests.infrastructure.test_host import HOST, need

FILES = Path(__file__).resolve().parents[2] / "deploy" / "caddy"


def adapt(folder: Path, file: Path, domain: str = "lab.example.org", email: str = "a@example.org") -> str:
    """What Caddy makes of a Caddyfile, after it has looked whether it could run it."""
    need("caddy")
    environment = {
        **os.environ, "HOME": str(folder), "LABLINK_DOMAIN": domain, "LABLINK_EMAIL": email, "LABLINK_ACME_CA": HOST["ACME_CA"],
    }  # fmt: skip
    command = ["caddy", "adapt", "--validate", "--adapter", "caddyfile", "--config", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["letsencrypt", "cloudflare"])
def test_caddy_takes_its_file(name: str, tmp_path: Path) -> None:
    adapted = adapt(tmp_path, FILES / f"{name}.Caddyfile")
    assert '"status_code":308' in adapted
    assert '"flush_interval":-1' in adapted


ODD = (
    ("a.b--c.xn--p1ai", "0@-"),
    ("1.import", "import_.+-@..."),
    (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.museum", f"{'a' * 64}@{'B.' * 94}c"),
    ("0.0.0.0.x0", "a@127.0.0.1"),
)
"""The oddest names and addresses that the document lets through."""


@pytest.mark.parametrize(("domain", "email"), ODD)
def test_what_the_document_lets_through_stays_a_value_of_caddys_file(domain: str, email: str, tmp_path: Path) -> None:
    lab = Lab.model_validate(
        {"pools": {}, "dns": {"domain": domain}, "ssl": {"provider": "letsencrypt", "email": email}}
    )
    assert (lab.dns.domain, lab.ssl.email) == (domain, email)
    file = FILES / "letsencrypt.Caddyfile"
    plain = adapt(tmp_path, file)
    assert '"lab.example.org"' in plain
    assert '"a@example.org"' in plain
    plain = plain.replace("a@example.org", email).replace("lab.example.org", domain)
    assert json.loads(adapt(tmp_path, file, domain, email)) == json.loads(plain)


class Upstream(BaseHTTPRequestHandler):
    """LabLink behind Caddy: says whence it was told that the call comes."""

    def do_GET(self) -> None:
        body = ",".join(self.headers.get_all("X-Forwarded-For", [])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def caddy(folder: Path, file: Path) -> Iterator[str]:
    """The address of a real Caddy with this Caddyfile, but on a port of loopback and without TLS."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, args=(0.05,), daemon=True).start()
    port = free_port("127.0.0.1")
    made = json.loads(adapt(folder, file).replace("lablink:5000", f"127.0.0.1:{upstream.server_address[1]}"))
    (server,) = [one for one in made["apps"]["http"]["servers"].values() if one["listen"] == [":443"]]
    own = {"listen": [f"127.0.0.1:{port}"], "routes": server["routes"], "automatic_https": {"disable": True}}
    config = folder / "caddy.json"
    config.write_text(json.dumps({"admin": {"disabled": True}, "apps": {"http": {"servers": {"own": own}}}}))
    environment = {**os.environ, "HOME": str(folder)}
    with subprocess.Popen(["caddy", "run", "--config", str(config)], env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            run.terminate()
            upstream.shutdown()
            upstream.server_close()


@pytest.mark.parametrize(
    ("name", "before", "told"),
    [
        ("letsencrypt", "", "127.0.0.1"),
        ("cloudflare", "", "127.0.0.1"),  # past Cloudflare
        ("cloudflare", "127.0.0.0/8 ", "203.0.113.9"),  # as if we were Cloudflare
    ],
)
def test_an_address_is_claimed_by_nobody_but_cloudflare(name: str, before: str, told: str, tmp_path: Path) -> None:
    """Else whoever finds the origin's address has as many guesses as there are addresses."""
    file = tmp_path / "Caddyfile"
    ranges = "not remote_ip "
    file.write_text((FILES / f"{name}.Caddyfile").read_text().replace(ranges, ranges + before))
    headers = {"Host": "lab.example.org", "X-Forwarded-For": "203.0.113.9", "CF-Connecting-IP": "203.0.113.9"}
    with caddy(tmp_path, file) as url, httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=8)) as http:
        assert http.get(url, headers=headers).text == told
