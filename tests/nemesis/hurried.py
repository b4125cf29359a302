"""`python -m tests.nemesis.hurried PROGRAM FILE`: a program whose looks at past days are seconds apart, and which counts its tasks.

The number of its asyncio tasks stands in FILE, newly each second.
"""

import asyncio
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from api import retention

LOOKS_S = 0.5
COUNTS_S = 1.0


def main() -> None:
    program, file = sys.argv[1], Path(sys.argv[2])
    retention.EVERY_S = LOOKS_S
    run = asyncio.Runner.run

    def run_counted(self: asyncio.Runner, *arguments: Any, **options: Any) -> Any:
        threading.Thread(target=count_tasks, args=(self.get_loop(), file), daemon=True).start()
        return run(self, *arguments, **options)

    asyncio.Runner.run = run_counted  # type: ignore[method-assign]
    sys.exit(import_module(f"{program}.__main__").main())


def count_tasks(loop: asyncio.AbstractEventLoop, file: Path) -> None:
    """For ever."""
    while True:
        file.write_text(str(len(asyncio.all_tasks(loop))))
        time.sleep(COUNTS_S)


if __name__ == "__main__":
    main()
