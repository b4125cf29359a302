"""`python -m tests.nemesis.dying PROGRAM FOLDER`: a program of the lab, with its boundaries watched; see `boundaries`.

PROGRAM is `controller`, `api`, or `provider`: the stand-in for the AWS provider, which writes how to reach it into FOLDER.
"""

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from tests.nemesis.boundaries import Boundaries, install


def main() -> None:
    program, folder = sys.argv[1], Path(sys.argv[2])
    install(Boundaries(program, folder))
    if program == "provider":
        serve_provider(folder)
    else:
        sys.exit(import_module(f"{program}.__main__").main())


def serve_provider(folder: Path) -> None:
    """Until SIGTERM. Its environment is there, whole, once it serves."""
    server = import_module("sandbox.aws_provider.serve").serve_reattach(
        endpoint_url=os.environ["AWS_ENDPOINT_URL"], region="us-west-2", access_key="test", secret_key="test"
    )
    draft = folder / "provider.draft"
    draft.write_text(json.dumps(server.environment))
    draft.rename(folder / "provider.json")
    signal.sigwait([signal.SIGTERM])
    server.stop()


if __name__ == "__main__":
    main()
