"""Finding Terraform: the named one, PATH, the cache, and a download from a local server, with the real binary."""

import hashlib
import io
import platform
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.terraform_binary import CHECKSUMS, OLDEST, PINNED, TerraformNotFound, find_terraform, read_version

NOWHERE = "http://127.0.0.1:9/terraform"  # the discard port: nothing answers
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
KIND = f"{sys.platform}_{MACHINE}"


def _write_program(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n', encoding="ascii")
    program.chmod(0o755)
    return program


def _zip_program(version: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("LICENSE.txt", "a licence")
        content.writestr("terraform", f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    return archive.getvalue()


class _Releases(BaseHTTPRequestHandler):
    body = b""
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.path == f"/terraform/{PINNED}/terraform_{PINNED}_{KIND}.zip" else 404)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def releases() -> Iterator[str]:
    _Releases.body = _zip_program(PINNED)
    _Releases.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Releases)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/terraform"
    server.shutdown()
    thread.join()
    server.server_close()


def _digest(body: bytes) -> dict[str, str]:
    return {KIND: hashlib.sha256(body).hexdigest()}


def test_the_real_terraform_tells_its_version() -> None:
    found = shutil.which("terraform") or shutil.which("tofu")
    assert found is not None
    assert read_version(Path(found)) >= OLDEST


def test_terraform_on_path_goes_before_tofu(tmp_path: Path) -> None:
    _write_program(tmp_path / "bin", "tofu", "1.10.3")
    terraform = _write_program(tmp_path / "bin", "terraform", "1.12.0-beta2")
    assert find_terraform(tmp_path, environ={"PATH": str(tmp_path / "bin")}) == terraform
    assert read_version(terraform) == (1, 12, 0)


def test_tofu_stands_in_when_terraform_is_too_old(tmp_path: Path) -> None:
    _write_program(tmp_path / "bin", "terraform", "1.9.8")
    tofu = _write_program(tmp_path / "bin", "tofu", "1.10.0")
    assert find_terraform(tmp_path, environ={"PATH": str(tmp_path / "bin")}) == tofu


def test_named_program_goes_before_path_and_must_be_new_enough(tmp_path: Path) -> None:
    _write_program(tmp_path / "bin", "terraform", "1.11.0")
    named = _write_program(tmp_path / "mine", "terraform", "1.13.1")
    environ = {"PATH": str(tmp_path / "bin"), "LABLINK_TERRAFORM": str(named)}
    assert find_terraform(tmp_path, environ=environ) == named
    _write_program(tmp_path / "mine", "terraform", "1.5.7")
    with pytest.raises(TerraformNotFound, match=r"LABLINK_TERRAFORM names .* which is 1\.5\.7: install"):
        find_terraform(tmp_path, environ=environ)


def test_named_program_that_is_no_terraform_is_told(tmp_path: Path) -> None:
    for named in ("/bin/true", str(tmp_path / "missing")):
        with pytest.raises(TerraformNotFound, match="does not answer 'version -json'"):
            find_terraform(tmp_path, environ={"PATH": "", "LABLINK_TERRAFORM": named})


def test_release_is_fetched_once_and_verified(tmp_path: Path, releases: str) -> None:
    digest = _digest(_Releases.body)
    found = find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=releases, checksums=digest)
    assert read_version(found) == (1, 11, 4)
    again = find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=NOWHERE)
    assert again == found
    assert len(_Releases.asked) == 1
    assert list((tmp_path / "cache").iterdir()) == [found]


def test_wrong_checksum_is_told_and_leaves_nothing(tmp_path: Path, releases: str) -> None:
    digest = _digest(_Releases.body)
    _Releases.body += b"\0"
    with pytest.raises(TerraformNotFound, match="wrong checksum and was removed"):
        find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=releases, checksums=digest)
    assert list((tmp_path / "cache").iterdir()) == []


def test_pinned_checksums_refuse_any_other_file(tmp_path: Path, releases: str) -> None:
    assert all(len(digest) == 64 for digest in CHECKSUMS.values())
    assert len(set(CHECKSUMS.values())) == 4
    with pytest.raises(TerraformNotFound, match="wrong checksum"):
        find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=releases)


def test_without_network_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    _write_program(tmp_path / "bin", "terraform", "1.9.8")
    with pytest.raises(TerraformNotFound) as caught:
        find_terraform(tmp_path / "cache", environ={"PATH": str(tmp_path / "bin")}, base_url=NOWHERE)
    sentence = str(caught.value)
    assert "1.9.8, too old" in sentence
    assert sentence.endswith("or name its path in LABLINK_TERRAFORM.")
    assert "\n" not in sentence


def test_release_that_is_not_there_is_told(tmp_path: Path, releases: str) -> None:
    with pytest.raises(TerraformNotFound, match="404"):
        find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=releases + "/moved")


def test_unknown_platform_is_told(tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFound, match=f"none is pinned for {KIND}: install"):
        find_terraform(tmp_path / "cache", environ={"PATH": ""}, base_url=NOWHERE, checksums={})
