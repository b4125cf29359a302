"""Working copies of the client tier's modules: one folder a state, one initialised template a module, shared by its states.

Called by actuation in worker threads; touches `work_dir` alone. `terraform init` is needed once a template, never again: what it
makes (`TF_DATA_DIR`, the dependency lock file) depends on the module's files and the kind of backend, not on the state.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BACKENDS = {
    # All that belongs to one run comes by TF_HTTP_… from the environment, so no password lies in a file.
    "database": 'terraform {\n  backend "http" {}\n}\n',
    # Relative to the working copy, so that all copies share one initialisation.
    "local": 'terraform {\n  backend "local" {\n    path = "terraform.tfstate"\n  }\n}\n',
}
LEFTOVERS = ("run.tfvars.json", "run.tfplan", "errored.tfstate", "crash.log")
MARK = ".module"
LOCK_FILE = ".terraform.lock.hcl"
STATE, LOCKED, BROKEN = "terraform.tfstate", ".terraform.tfstate.lock.info", "terraform.tfstate.broken"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where Terraform runs for one state. Variables and plan hold tokens: mode 0600, gone after each run."""

    folder: Path
    template: Path

    @property
    def variables(self) -> Path:
        return self.folder / LEFTOVERS[0]

    @property
    def plan(self) -> Path:
        return self.folder / LEFTOVERS[1]

    @property
    def data_dir(self) -> Path:
        return self.template / ".terraform"

    @property
    def initialised(self) -> bool:
        return (self.template / ".ready").exists()

    def mark_initialised(self) -> None:
        (self.template / ".ready").touch()

    def forget_initialisation(self) -> None:
        """What init made is gone or does not fit any more (a provider's cache was emptied): the next run makes it again."""
        (self.template / ".ready").unlink(missing_ok=True)

    def take_lock_file(self) -> None:
        """The dependency lock file that init wrote goes where plans look for it; none is written for a reattached provider."""
        made, own = self.template / LOCK_FILE, self.folder / LOCK_FILE
        if made.exists() and (not own.exists() or own.read_bytes() != made.read_bytes()):
            shutil.copyfile(made, own)

    def write_variables(self, text: str) -> None:
        descriptor = os.open(self.variables, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def clean(self) -> None:
        """Remove what a run leaves. A state that could not be saved goes, too: a listing is the truth about what exists."""
        for name in LEFTOVERS:
            (self.folder / name).unlink(missing_ok=True)

    @property
    def local_state(self) -> Path:
        return self.folder / STATE

    def read_local_state(self) -> bytes | None:
        """Not while Terraform works on it: Terraform writes it in place, and a half-written one (a full disk, a power cut)
        gives way here to the copy of the state before that Terraform keeps."""
        if self.local_state.exists() and not _is_whole(self.local_state):
            backup = self.folder / "terraform.tfstate.backup"
            if not backup.exists():  # there was no state before
                self.local_state.replace(self.folder / BROKEN)
            elif _is_whole(backup):
                backup.replace(self.local_state)
        return self.local_state.read_bytes() if self.local_state.exists() else None


def prepare_workspace(
    work_dir: Path, module: Path, backend: str, state_key: str, *, installs: bool = False, text: str = ""
) -> Workspace:
    """The working copy of `module` for a state, brought to the module's present files. OSError when the disk does not let us.

    `installs` tells templates whose init installs a provider from those that reach one that runs already; `text` is the
    backend's where it depends on the deployment.
    """
    module, work_dir = module.absolute(), work_dir.absolute()
    text = text or BACKENDS[backend]
    digest = _hash_files(module, text)
    way = "installed" if installs else "reattached"
    template = work_dir / "modules" / f"{module.name}-{backend}-{way}-{digest[:16]}"
    folder = work_dir / "states" / backend / state_key
    _make_private(work_dir)
    if not template.exists():
        draft = template.with_name(
            f".{template.name}.{os.getpid()}.{hashlib.sha256(state_key.encode()).hexdigest()[:8]}"
        )
        shutil.copytree(module, draft, ignore=_ignore, dirs_exist_ok=True)
        (draft / "backend.tf").write_text(text)
        try:
            draft.rename(template)
        except OSError:  # another state was quicker
            shutil.rmtree(draft)
            if not template.exists():
                raise
    workspace = Workspace(folder, template)
    mark = folder / MARK
    if not mark.exists() or mark.read_text() != digest:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in [*folder.glob("*.tf"), *folder.glob("*.tf.json")]:
            stale.unlink()
        _copy_files(template, folder)
        mark.write_text(digest)
    return workspace


def prune_workspaces(work_dir: Path, pool: str, regions: Set[str]) -> None:
    """Remove a pool's working copies in all but these regions; where a state still holds something, the region stays whole."""
    with suppress(OSError):  # the next round tries again
        for backend in (work_dir / "states").iterdir():
            for region in (backend / pool).glob("*"):
                if region.name not in regions and all(_holds_nothing(folder) for folder in region.iterdir()):
                    shutil.rmtree(region)
            if (backend / pool).is_dir() and not any((backend / pool).iterdir()):
                (backend / pool).rmdir()


def _holds_nothing(folder: Path) -> bool:
    if (folder / LOCKED).exists() or (folder / BROKEN).exists():
        return False
    state = folder / STATE
    return not state.exists() or (_is_whole(state) and json.loads(state.read_bytes()).get("resources") == [])


def _is_whole(state: Path) -> bool:
    try:
        return isinstance(json.loads(state.read_bytes()), dict)
    except ValueError:
        return False


def _make_private(folder: Path) -> None:
    """Terraform's plans, variables and local states hold tokens."""
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)


def _copy_files(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".terraform", ".ready"), dirs_exist_ok=True)


def _ignore(_folder: str, names: list[str]) -> set[str]:
    """A developer's own `terraform init` in the source tree is none of ours."""
    return {name for name in names if (name.startswith(".terraform") and name != LOCK_FILE) or ".tfstate" in name}


def _hash_files(module: Path, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for path in sorted(_walk(module)):
        digest.update(f"{path.relative_to(module)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _walk(module: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(module):
        folders[:] = [name for name in folders if name not in _ignore(folder, folders)]
        ignored = _ignore(folder, names)
        yield from (Path(folder) / name for name in names if name not in ignored)
