"""Keeps `lablink.yaml` equal to the record: an edit of the file becomes a version, a version from elsewhere is written to the file.

An invalid, half-written or conflicting file changes nothing: the last good version stays in force and a condition says what is
wrong, until the cause is gone. Called by `controller.desired` alone.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import anyio
import structlog

from controller.roster import read_roster
from controller.say import say, say_no_more
from controller.world import World
from schemas.document import InvalidDocument, parse_lab, problem_at, text_hash
from schemas.lab import Lab, StartupScript
from schemas.settings import KEY_FILES, Settings
from store.deployment import Deployment, see_file
from store.desired import Change, DesiredConflict, InForce, append_version
from store.lease import fenced

log = structlog.get_logger()

QUIET_S = 0.25
"""A file written to less than this ago may still be half-written: it is read at the next wake-up."""

LONGEST_SCRIPT = 1024 * 1024
"""Bytes; user data has room for 16 KiB after compression."""

GIT_S = 10.0
"""A git that takes longer (a hook, a network file system) is given up: the record is what counts."""
GIT_IS_TOLD = frozenset(
    {"PATH", "HOME", "LANG", "USER", "LOGNAME", "EMAIL", "TMPDIR", "XDG_CONFIG_HOME", "GNUPGHOME", "SSH_AUTH_SOCK"}
)


@dataclass(frozen=True, slots=True)
class FileState:
    """What the file says now: its text, or why there is none."""

    text: str | None
    trouble: str | None = None
    gone: bool = False


async def sync_file(world: World, deployment: Deployment, in_force: InForce | None) -> InForce | None:
    """Take an edit, or write what is newer in the record; the version in force afterwards."""
    path = world.settings.desired_file
    assert path is not None  # the caller looked
    found = read_file(path)
    if found is None:
        return in_force
    if found.text is None:
        if found.gone and in_force and in_force.version != deployment.file_version:
            await write_version(world, deployment, in_force)
        else:  # what cannot be read may be somebody's edit: it is never written over
            reason = "FileMissing" if found.gone else "FileUnreadable"
            await say(world, deployment, "DesiredValid", False, reason, f"{found.trouble}{_still(in_force)}")
        return in_force
    if in_force and found.text == in_force.yaml:
        await settle(world, deployment, text_hash(found.text), in_force.version)
        return in_force
    if in_force and text_hash(found.text) == deployment.file_hash:
        await write_version(world, deployment, in_force)
        return in_force
    return await take_edit(world, deployment, in_force, found.text)


def read_file(path: Path) -> FileState | None:
    """The file's text, or why it cannot be had; None while it is being written to."""
    try:
        if abs(time.time() - path.stat().st_mtime) < QUIET_S:
            return None
        return FileState(path.read_bytes().decode())  # line ends as they are: an edit keeps them
    except (OSError, UnicodeDecodeError) as error:
        gone = isinstance(error, FileNotFoundError)
        return FileState(None, f"{path} cannot be read ({error}); put it back or mend it", gone)


async def take_edit(world: World, deployment: Deployment, in_force: InForce | None, text: str) -> InForce | None:
    """An edited file becomes the next version, if it is valid and was made from the one in force."""
    path = world.settings.desired_file
    assert path is not None
    try:
        lab = parse_lab(text, path.name).lab
        check_scripts(lab, text, world.settings)
    except InvalidDocument as error:
        sentence = "; ".join(str(problem) for problem in error.problems[:5])
        await say(world, deployment, "DesiredValid", False, "Invalid", sentence + _still(in_force))
        return in_force
    based_on = deployment.file_version if deployment.file_hash else None
    # Before the transaction: while one holds the lease, nobody else can take it, and git may take its time.
    change = Change(yaml=text, lab=lab, author=await read_author(path), source="file")
    try:
        async with fenced(world.db, world.lease) as conn:
            version = await append_version(conn, change, based_on)
            await see_file(conn, text_hash(text), version.version)
    except DesiredConflict:
        await say_conflict(world, deployment, in_force, text)
        return in_force
    await say_valid(world, deployment)
    return InForce(version=version.version, lab=lab, yaml=text)


def check_scripts(lab: Lab, text: str, settings: Settings) -> None:
    """Raises InvalidDocument for a start-up script that is not there, or that no VM could run, and for a roster that is none."""
    path = settings.desired_file
    assert path is not None
    missing = tuple(
        problem_at(
            text,
            ("pools", name, "startup_script", "path"),
            f"there is no text file {pool.startup_script.path} beside {path.name} that VMs may be given",
            path.name,
        )
        for name, pool in lab.pools.items()
        if pool.startup_script and read_script(settings, pool.startup_script) is None
    )
    missing += tuple(
        problem_at(
            text,
            ("courses", name, "roster"),
            f"{course.roster} beside {path.name} must be there, with one email a line and nothing else",
            path.name,
        )
        for name, course in lab.courses.items()
        if course.roster and read_roster(path.parent / course.roster) is None
    )
    if missing:
        raise InvalidDocument(missing)


def read_script(settings: Settings, script: StartupScript) -> str | None:
    """A start-up script, or None when it is not there, is no text of a script's size, or is nothing that VMs may be given."""
    if settings.desired_file is None or is_secret(settings, settings.desired_file.parent, script.path):
        return None
    path = settings.desired_file.parent / script.path
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= LONGEST_SCRIPT else "\0"
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text  # PostgreSQL keeps no such text, and no shell runs it


def is_secret(settings: Settings, home: Path, name: str) -> bool:
    """Whether a file is hidden (`.aws/credentials`), one of our keys, or in a folder of ours beside the document.

    Whoever may change the document by the API names the script, and would read such a file in the user data of a VM.
    """
    real, ours = (home / name).resolve(), (settings.keys, settings.work_dir)
    beside = [folder.resolve() for folder in ours if folder and not home.resolve().is_relative_to(folder.resolve())]
    hidden = any(part.startswith(".") for part in Path(name).parts)
    return hidden or real.name in KEY_FILES or any(real.is_relative_to(folder) for folder in beside)


async def write_version(world: World, deployment: Deployment, in_force: InForce) -> None:
    """Replace the file by the text in force, whole or not at all; a file that cannot be written stays behind, and that is said."""
    path = world.settings.desired_file
    assert path is not None
    try:
        await anyio.to_thread.run_sync(replace_file, path, in_force.yaml)
    except OSError as error:
        message = (
            f"version {in_force.version} is in force, but {path} could not be written and is behind: {error.strerror}"
        )
        await say(world, deployment, "DesiredFileBehind", True, "NotWritable", message)
        return
    await settle(world, deployment, text_hash(in_force.yaml), in_force.version)
    if in_force.lab.desired.git_commit:
        message = f"Desired version {in_force.version}"
        done = await run_git(path, "commit", "--quiet", "-m", message, "--only", path.name)
        if done is None or done.returncode:
            said = done.stderr.decode(errors="replace").strip() if done else "git cannot be run, or takes too long"
            log.warning("a version was written to the file and could not be committed", reason=said)


def replace_file(path: Path, text: str) -> None:
    """Write, fsync, rename: a reader sees the old text or the new one, also after a power cut. Keeps mode and symbolic links."""
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


async def read_author(path: Path) -> str:
    """The author of the last commit of the file where it is in a repository, else the word `file`."""
    done = await run_git(path, "log", "-1", "--format=%an <%ae>", "--", path.name)
    return (done.stdout.decode(errors="replace").strip() if done else "") or "file"


async def run_git(path: Path, *arguments: str) -> CompletedProcess[bytes] | None:
    """Git in the folder of the file; None when there is no git, or it finds no end within `GIT_S`. It, and hooks there, see none of our secrets."""
    told = {name: value for name, value in os.environ.items() if name in GIT_IS_TOLD or name.startswith("GIT_")}
    with anyio.move_on_after(GIT_S):
        try:
            return await anyio.run_process(["git", "-C", str(path.parent), *arguments], check=False, env=told)
        except OSError:
            pass
    return None


async def settle(world: World, deployment: Deployment, file_hash: str, version: int) -> None:
    """File and record are equal."""
    if (deployment.file_hash, deployment.file_version, deployment.file_text) != (file_hash, version, None):
        async with fenced(world.db, world.lease) as conn:
            await see_file(conn, file_hash, version)
    await say_valid(world, deployment)


async def say_conflict(world: World, deployment: Deployment, in_force: InForce | None, text: str) -> None:
    """Both sides changed: keep both texts and say how to go on."""
    if deployment.file_text != text:
        async with fenced(world.db, world.lease) as conn:
            await see_file(conn, deployment.file_hash or "", deployment.file_version, text)
    number = in_force.version if in_force else None
    message = (
        f"the file was edited from version {deployment.file_version}, but version {number} is in force: compare with "
        "`lablink diff`, then put the file in force with `lablink apply FILE`, or restore the text of that version in it"
    )
    await say(world, deployment, "DesiredConflict", True, "BothChanged", message)


async def say_valid(world: World, deployment: Deployment) -> None:
    await say(world, deployment, "DesiredValid", True, "Accepted", "the file is valid and in force")
    for trouble in ("DesiredConflict", "DesiredFileBehind"):
        await say_no_more(world, deployment, trouble, "Resolved", "file and record are equal")


def _still(in_force: InForce | None) -> str:
    return f"; version {in_force.version} stays in force" if in_force else "; nothing is in force yet"
