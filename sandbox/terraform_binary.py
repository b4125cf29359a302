"""Finds the Terraform (or OpenTofu) program: named, on PATH, or fetched once into a folder with its checksum checked.

Called when the sandbox and the controller are set up; touches the cache folder only.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx

OLDEST = (1, 10, 0)  # the first with `use_lockfile`, in Terraform and in OpenTofu
PINNED = "1.11.4"
BASE_URL = "https://releases.hashicorp.com/terraform"
# From terraform_1.11.4_SHA256SUMS as published with the release.
CHECKSUMS = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
    "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_REMEDY = "install Terraform or OpenTofu 1.10 or newer, or name its path in LABLINK_TERRAFORM"


class TerraformNotFound(Exception):
    """There is no usable Terraform; the message is one sentence that says what to do."""


def find_terraform(
    cache: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    base_url: str = BASE_URL,
    checksums: Mapping[str, str] = CHECKSUMS,
) -> Path:
    """LABLINK_TERRAFORM, else `terraform` or `tofu` on PATH if new enough, else the pinned release in `cache`."""
    found, too_old = _look(cache, environ)
    if found:
        return found
    try:
        return _fetch(cache / f"terraform-{PINNED}", base_url, checksums)
    except TerraformNotFound as error:
        raise TerraformNotFound(too_old + str(error)) from error


def look_for_terraform(cache: Path, *, environ: Mapping[str, str] = os.environ) -> Path | None:
    """As `find_terraform`, but nothing is fetched: None when a fetch would be next."""
    found, too_old = _look(cache, environ)
    if found is None and too_old:
        raise TerraformNotFound(f"{too_old}{_REMEDY}.")
    return found


def _look(cache: Path, environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """The program, or None and what is there and too old."""
    if named := environ.get("LABLINK_TERRAFORM"):
        return _check_named(Path(named)), ""
    too_old = []
    for name in ("terraform", "tofu"):
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found is None:
            continue
        version = read_version(Path(found))
        if version >= OLDEST:
            return Path(found), ""
        too_old.append(f"{found} is {_render(version)}, too old; ")
    fetched = cache / f"terraform-{PINNED}"
    return (fetched if fetched.exists() else None), "".join(too_old)


def read_version(program: Path) -> tuple[int, int, int]:
    """What the program says of itself; it asks no server for news (CHECKPOINT_DISABLE)."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "CHECKPOINT_DISABLE": "1", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            [program, "version", "-json"],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        text = str(json.loads(done.stdout)["terraform_version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise TerraformNotFound(f"{program} does not answer 'version -json' as Terraform does: {_REMEDY}.") from error
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise TerraformNotFound(f"{program} calls itself version {text!r}, which is none: {_REMEDY}.")
    return int(match[1]), int(match[2]), int(match[3])


def _check_named(program: Path) -> Path:
    version = read_version(program)
    if version < OLDEST:
        raise TerraformNotFound(f"LABLINK_TERRAFORM names {program}, which is {_render(version)}: {_REMEDY}.")
    return program


def _fetch(target: Path, base_url: str, checksums: Mapping[str, str]) -> Path:
    """Downloads beside the target, verifies, unpacks, renames: the cache never holds half a program."""
    kind = f"{sys.platform}_{_MACHINES.get(platform.machine().lower(), platform.machine())}"
    if kind not in checksums:
        raise TerraformNotFound(f"No Terraform was found, and none is pinned for {kind}: {_REMEDY}.")
    url = f"{base_url}/{PINNED}/terraform_{PINNED}_{kind}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="terraform-", dir=target.parent) as folder:
        archive = Path(folder) / "terraform.zip"
        if _download(url, archive) != checksums[kind]:
            raise TerraformNotFound(f"The file at {url} has a wrong checksum and was removed: {_REMEDY}.")
        with zipfile.ZipFile(archive) as content:
            program = Path(content.extract("terraform", folder))
        program.chmod(0o755)
        program.replace(target)
    return target


def _download(url: str, archive: Path) -> str:
    """Returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=30) as response, archive.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
    except httpx.HTTPError as error:
        raise TerraformNotFound(f"No Terraform was found, and {url} cannot be fetched ({error}): {_REMEDY}.") from error
    return digest.hexdigest()


def _render(version: tuple[int, int, int]) -> str:
    return ".".join(str(part) for part in version)
