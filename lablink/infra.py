"""`lablink infra`: the person's Terraform for the allocator tier, thinly wrapped; what it is given is made by `infra_copy`."""

import os
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lablink.client import data_folder
from lablink.desired import DEFAULT_FILE, read_document
from lablink.errors import Failed
from lablink.infra_copy import Copy, prepare_copy
from sandbox.terraform_binary import TerraformNotFound, find_terraform


class Action(StrEnum):
    BOOTSTRAP = "bootstrap"
    INIT = "init"
    PLAN = "plan"
    APPLY = "apply"
    OUTPUT = "output"
    DESTROY = "destroy"


def infra(
    action: Annotated[Action, typer.Argument(help="bootstrap makes the buckets; then init, plan, apply; destroy.")],
    *,
    file: Annotated[Path, typer.Option(help="What should exist.")] = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="apply: a new allocator machine; volume and address stay.")
    ] = False,
    unprotect: Annotated[
        bool, typer.Option("--unprotect", help="apply, destroy: lift the protection of database and load balancer.")
    ] = False,
    ami: Annotated[str, typer.Option(help="AMI of a new allocator [default: the newest Ubuntu 24.04].")] = "",
) -> None:
    """Make, change or end the allocator tier in AWS with Terraform.

    Its working copy is <data>/infrastructure/DEPLOYMENT-ENVIRONMENT. With state.backend local, the state lies there: keep it.
    """
    lab = read_document(file).lab
    folder = data_folder() / "infrastructure" / f"{lab.deployment}-{lab.environment}"
    try:
        copy = prepare_copy(lab, file, folder, os.environ)
        terraform = find_terraform(data_folder() / "bin")
    except (OSError, TerraformNotFound) as error:
        raise Failed(f"The working copy {folder} cannot be made: {error}") from None
    approve = ["-auto-approve"] if yes else []
    settings = [f"-var=protect={'false' if unprotect else 'true'}", *([f"-var=ami={ami}"] if ami else [])]
    for arguments in _render_commands(action, approve, settings, replace=replace, unprotect=unprotect):
        _run(terraform, _choose_folder(action, copy), arguments)


def _choose_folder(action: Action, copy: Copy) -> Path:
    return copy.bootstrap if action is Action.BOOTSTRAP else copy.allocator


def _render_commands(
    action: Action, approve: list[str], settings: list[str], *, replace: bool, unprotect: bool
) -> list[list[str]]:
    match action:
        case Action.BOOTSTRAP:
            return [["init", "-input=false"], ["apply", *approve]]
        case Action.INIT:
            return [["init"]]
        case Action.OUTPUT:
            return [["output"]]
        case Action.APPLY:
            return [["apply", *approve, *settings, *(["-replace=aws_instance.allocator[0]"] if replace else [])]]
        case Action.DESTROY if unprotect:  # AWS keeps the protection until it is told otherwise
            return [["apply", *approve, *settings], ["destroy", *approve, *settings]]
    return [[action.value, *(approve if action is Action.DESTROY else []), *settings]]


def _run(terraform: Path, folder: Path, arguments: list[str]) -> None:
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run([terraform, f"-chdir={folder}", *arguments], env=environment, check=False)
    if done.returncode != 0:
        raise Failed(f"terraform {arguments[0]} in {folder} did not succeed; it says above why.")
