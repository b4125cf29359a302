"""The limit of open files of this process: each VM that waits is one."""

import resource


def allow_many_files() -> None:
    """As many as the system lets this process have; what it starts inherits that. The usual limit of 1,024 is a shell's."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
