"""`make prove`: every proof of the registry, piece by piece, and what they have shown as docs/reliability.json, of which the manual makes its page.

Takes hours, and goes on where it was stopped: what is done is remembered for the commit in `.lablink/prove`. `python -m tests.prove
NAME… --share 0.01` runs a part of some.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.prove.piece import Tally
from tests.prove.registry import PROOFS, Proof

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs/reliability.json"
KEPT = ROOT / ".lablink/prove"


def main(arguments: Sequence[str] | None = None) -> int:
    known = {proof.name: proof for proof in PROOFS}
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--share", type=float, default=1.0, help="part of each proof's pieces")
    options = parser.parse_args(arguments)
    failed = 0
    for proof in [known[name] for name in options.names] or PROOFS:
        failed += len(_prove(proof, math.ceil(proof.count * options.share))["failures"])
    print(f"{failed} pieces failed" if failed else "everything was as it should be")
    return 1 if failed else 0


def _prove(proof: Proof, wanted: int) -> dict[str, Any]:
    """Go on from the last piece that was remembered; the report is written after each, so that it is true whenever one stops."""
    commit = _commit()
    kept = KEPT / f"{commit}-{proof.name}.json"
    shown: dict[str, Any] = {"done": 0, "took_s": 0.0, "figures": {}, "failures": []}
    if kept.exists():
        shown = json.loads(kept.read_text())
    while shown["done"] < wanted:
        count = min(proof.at_once, wanted - shown["done"])
        print(f"{proof.name}: {shown['done']} of {wanted} {proof.unit}", flush=True)
        began_at = time.monotonic()
        piece = _run(proof, shown["done"], count)
        tally = Tally(shown["figures"], shown["failures"])
        tally.add(piece["figures"])
        tally.failures += piece["failures"]
        shown["done"] += count
        shown["took_s"] += time.monotonic() - began_at
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(shown))
        _report(proof, commit, shown)
    return shown


def _run(proof: Proof, first: int, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", proof.module, "--first", str(first), "--count", str(count), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return dict(json.loads(done.stdout.strip().rsplit("\n", 1)[-1]))
    except ValueError:
        said = f"it ended with status {done.returncode} and no figures"
        again = " ".join(["python", *command[1:-1]])
        return {"figures": {}, "failures": [{"said": said, "command": again}]}


def _report(proof: Proof, commit: str, shown: dict[str, Any]) -> None:
    """The newest figures of this proof beside those of the others, which may be of another commit."""
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    report[proof.name] = {
        "title": proof.title,
        "shows": proof.shows,
        "unit": proof.unit,
        "wanted": proof.count,
        "command": f"python -m {proof.module} --count {shown['done']}",
        "commit": commit,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        **shown,
    }
    order = [proof.name for proof in PROOFS]
    report = {name: report[name] for name in sorted(report, key=lambda name: order.index(name) if name in order else 0)}
    REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _commit() -> str:
    """What is measured; with a + where files are not as committed."""
    said = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
