"""Ports of this machine: whether one is free, and which. Asked before programs are started, so that one sentence says it."""

import errno
import socket

from lablink.errors import Failed


def check_port(host: str, port: int, remedy: str) -> None:
    """Raises `Failed` when nobody could listen there."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failed(f"Port {port} of {host} is in use by another program: end that one, or {remedy}.") from None
        raise Failed(f"Nothing can listen on port {port} of {host} ({error.strerror}): {remedy}.") from None


def free_port(host: str, preferred: int | None = None) -> int:
    """A port that nobody listens on: `preferred` if it is free, else one that the system picks."""
    try:
        return _bind(host, preferred or 0)
    except OSError:
        return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])
