"""Becomes another program that gets a signal from the kernel once the process that started it is gone, however it ended.

`lablink.children` starts it by path (`python -I -S bound.py PARENT SIGNAL COMMAND…`) from the event loop's thread: Linux
sends that signal when the starting *thread* ends. A wrapper, because code between fork and exec is unsafe beside threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Never returns. Elsewhere than on Linux there is no such signal, and the program is run as it is."""
    parent, number, *command = argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != int(parent):
            sys.exit(f"the process {parent} that wanted {command[0]} has ended")
    os.execv(command[0], command)  # noqa: S606 - becoming another program is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
