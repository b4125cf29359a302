"""The working copy in which a person's Terraform runs `infrastructure/`: modules, backend, variables, the Lambda's package.

Made by `lablink infra` and the tests; touches the folder that it is given. The state of the backend `local` lies in it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.s3_states import find_bucket, render_s3_backend
from lablink.beside import find_part
from lablink.lambda_package import write_package
from schemas.lab import Lab

LOCAL = "# The state is terraform.tfstate in this folder: keep it.\n"


@dataclass(frozen=True, slots=True)
class Copy:
    """`allocator` and `bootstrap` are root modules; each has its own state."""

    folder: Path

    @property
    def allocator(self) -> Path:
        return self.folder / "infrastructure"

    @property
    def bootstrap(self) -> Path:
        return self.folder / "bootstrap"


def prepare_copy(lab: Lab, lab_file: Path, folder: Path, environ: Mapping[str, str]) -> Copy:
    """Brings the copy to the files of this release; states and what `terraform init` made stay. OSError when it cannot."""
    copy = Copy(folder.absolute())
    for source, target in (
        (find_part("infrastructure"), copy.allocator),
        (find_part("infrastructure"), copy.bootstrap),
    ):
        inner = source / "bootstrap" if target == copy.bootstrap else source
        target.mkdir(parents=True, exist_ok=True)
        for stale in [*target.glob("*.tf"), *target.glob("*.tftpl")]:
            stale.unlink()
        for path in [*inner.glob("*.tf"), *inner.glob("*.tftpl")]:
            shutil.copyfile(path, target / path.name)
    shutil.copytree(find_part("deploy"), copy.folder / "deploy", dirs_exist_ok=True)
    package = copy.folder / "log_lambda.zip"
    write_package(package)
    (copy.allocator / "backend.tf").write_text(render_backend(lab, environ))
    (copy.bootstrap / "backend.tf").write_text(LOCAL)
    names = {"lab_file": str(lab_file.absolute())}
    more = {"lambda_zip": str(package), "deploy_dir": str(copy.folder / "deploy")}
    (copy.allocator / "terraform.tfvars.json").write_text(json.dumps({**names, **more}))
    (copy.bootstrap / "terraform.tfvars.json").write_text(json.dumps(names))
    return copy


def render_backend(lab: Lab, environ: Mapping[str, str]) -> str:
    """Where the state of the allocator tier lies: beside its copy, or in the bucket of the client tier's states."""
    bucket = find_bucket(lab, environ)
    key = {"key": f"{lab.deployment}/{lab.environment}/infrastructure.tfstate"}
    return render_s3_backend(bucket, key) if bucket else LOCAL
