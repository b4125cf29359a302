"""The Chrome Remote Desktop command: user input that ends in a shell on a VM, so only its code is kept. Pure."""

import re
import secrets

# `--code=…` or `--code "…"`, as Google's page shows it for Linux.
CODE = re.compile(r"""--code[=\s]+(?P<quote>["']?)(?P<code>[A-Za-z0-9/_.-]{1,512})(?P=quote)(?=\s|$)""")
PIN = re.compile(r"[0-9]{6,32}")


def find_code(command: str) -> str | None:
    """The one-time code of a pasted command, or None when it has no well-formed one."""
    found = CODE.search(command)
    return found["code"] if found else None


def render_command(code: str) -> str:
    """The command that a VM runs. `code` is made of `[A-Za-z0-9/_.-]`, so nothing in it can leave its quotes."""
    return (
        f'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="{code}"'
        ' --redirect-url="https://remotedesktop.google.com/_/oauthredirect" --name=$(hostname)'
    )


def draw_pin() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**6):06d}"
