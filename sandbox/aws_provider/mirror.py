"""A filesystem mirror with the stand-in in it: the way in that needs `terraform init`, as with the real provider.

Written by the tests and by whoever runs terraform by hand against the sandbox; touches only the folder it is given.
"""

import json
import platform
import shlex
import sys
from pathlib import Path

from sandbox.aws_provider.schema import read_published_schemas
from sandbox.aws_provider.serve import ADDRESSES

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_mirror(folder: Path) -> Path:
    """Lays the mirror out under `folder` and returns the CLI configuration file for `TF_CLI_CONFIG_FILE`."""
    version = read_published_schemas().version
    system = f"{platform.system().lower()}_{_MACHINES.get(platform.machine(), platform.machine())}"
    root = Path(__file__).resolve().parents[2]
    script = (
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(sys.executable)} -m sandbox.aws_provider\n"
    )
    for address in ADDRESSES:
        program = folder / "providers" / address / version / system / f"terraform-provider-aws_v{version}"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
    config = folder / "terraform.rc"
    config.write_text(render_cli_config(folder / "providers"), encoding="utf-8")
    return config


def render_cli_config(mirror: Path) -> str:
    """The text of a CLI configuration file that takes `hashicorp/aws` from the mirror and nothing from the network."""
    path = str(mirror).replace("\\", "\\\\").replace('"', '\\"')
    return (
        "disable_checkpoint = true\n"
        "provider_installation {\n"
        f'  filesystem_mirror {{\n    path    = "{path}"\n    include = {json.dumps(ADDRESSES)}\n  }}\n'
        "}\n"
    )
