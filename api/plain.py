"""Log lines without what is meant for a terminal. The store keeps such codes; pages and whoever asks for plain text get none."""

import re

# ECMA-48: control sequences (CSI), strings (OSC, DCS, APC, PM, SOS) up to their end, and escapes of two characters.
CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Without codes; of what a line has overwritten (progress bars end in a carriage return) the last state stays."""
    text = CODES.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return CONTROLS.sub("", text)
