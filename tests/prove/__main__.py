"""`make prove`: every proof of the registry, piece by piece, and what they have shown as docs/reliability.json, of which the manual makes its page.

Takes hours, and goes on where it was stopped: what is done is remembered for the commit in `.lablink/prove`. `python -m tests.prove
NAME… --share 0.01` runs a part of some.
"""

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from lablink import bound as bound_program
from tests.prove.kept import KEPT, ROOT, read_commit
from tests.prove.piece import Tally, end_tidily
from tests.prove.registry import PROOFS, Proof

REPORT = ROOT / "docs/reliability.json"


@dataclass
class Shown:
    """What a proof has shown of one commit. `ran` are the numbers of its pieces, `known` how many there are."""

    known: int
    ran: list[int] = field(default_factory=list)
    took_s: float = 0.0
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def read(cls, file: Path, proof: Proof) -> "Shown":
        if not file.exists():
            return cls(proof.count)
        kept = json.loads(file.read_text())
        return cls(**{**kept, "tally": Tally(**kept["tally"])})

    def write(self, file: Path) -> None:
        """Whole or not at all, whenever it is stopped."""
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(file)

    def add(self, chunk: range, piece: dict[str, Any]) -> None:
        self.known = piece.get("known", self.known)
        self.ran = sorted(number for number in {*self.ran, *chunk} if number < self.known)
        self.tally.add(piece["figures"], piece.get("details"))
        self.tally.failures += piece["failures"]

    def find_due(self, share: float, at_once: int) -> list[range]:
        """What has not run, in parts of at most so many."""
        due = _join(sorted({*range(math.ceil(self.known * share))} - {*self.ran}))
        return [part[at : at + at_once] for part in due for at in range(0, len(part), at_once)]

    def find_parts(self) -> list[range]:
        return _join(self.ran)


def _join(numbers: Sequence[int]) -> list[range]:
    """Those that follow each other together."""
    parts: list[range] = []
    for number in numbers:
        if parts and number == parts[-1].stop:
            parts[-1] = range(parts[-1].start, number + 1)
        else:
            parts.append(range(number, number + 1))
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    known = {proof.name: proof for proof in PROOFS}
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--share", type=float, default=1.0, help="part of each proof's pieces")
    options = parser.parse_args(arguments)
    end_tidily()
    failed = 0
    for proof in [known[name] for name in options.names] or PROOFS:
        failed += _prove(proof, options.share)
    print(f"{failed} pieces failed or could not run" if failed else "everything was as it should be")
    return 1 if failed else 0


def _prove(proof: Proof, share: float) -> int:
    """What has not run yet, and how many pieces failed or could not run. The report is written after each part, so that it is true whenever one stops."""
    commit = read_commit()
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{commit}-{proof.name}.json"
    shown = Shown.read(kept, proof)
    last = time.monotonic()
    broken = 0
    while not broken and (due := shown.find_due(share, proof.at_once)):
        print(f"{proof.name}: {len(shown.ran)} of {shown.known} {proof.unit}", flush=True)
        for chunk, piece in _run_all(proof, due):
            if piece is None:  # it has shown nothing, so it is still due
                broken += len(chunk)
                continue
            if read_commit() != commit:
                sys.exit(
                    f"The files are not those of {commit} any more. What ran before they changed is kept; begin anew."
                )
            shown.add(chunk, piece)
            now = time.monotonic()
            shown.took_s, last = shown.took_s + now - last, now
            shown.write(kept)
            _report(proof, commit, shown)
            print(f"{proof.name}: {len(shown.ran)} of {shown.known} {proof.unit}", flush=True)
    return len(shown.tally.failures) + broken


def _run_all(proof: Proof, due: Sequence[range]) -> Iterator[tuple[range, dict[str, Any] | None]]:
    """Each part as it ends, some at the same time. Whoever stops this ends what runs."""
    working: set[subprocess.Popen[str]] = set()
    lanes = ThreadPoolExecutor(proof.lanes)
    try:
        running = {lanes.submit(_run, proof, chunk, working): chunk for chunk in due}
        for done in as_completed(running):
            yield running[done], done.result()
    finally:
        lanes.shutdown(wait=False, cancel_futures=True)
        for process in [*working]:
            process.terminate()


def _run(proof: Proof, chunk: range, working: set[subprocess.Popen[str]]) -> dict[str, Any] | None:
    command = ["-m", proof.module, "--first", str(chunk.start), "--count", str(len(chunk)), "--json"]
    bound = [sys.executable, "-I", "-S", bound_program.__file__, str(os.getpid()), str(int(signal.SIGTERM))]
    with subprocess.Popen([*bound, sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        working.add(process)
        said = process.communicate()[0]
        working.discard(process)
    try:
        return dict(json.loads(said.strip().rsplit("\n", 1)[-1]))
    except ValueError:
        sys.stderr.write(f"{' '.join(command)} ended with status {process.returncode} and no figures\n")
        return None


def _report(proof: Proof, commit: str, shown: Shown) -> None:
    """The newest figures of this proof beside those of the others, which may be of another commit."""
    with (KEPT / "lock").open("w") as lock:
        flock(lock, LOCK_EX)  # another proof may run at the same time
        report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
        report[proof.name] = _describe(proof, commit, shown)
        report = {one.name: report[one.name] for one in PROOFS if one.name in report}
        draft = REPORT.with_suffix(".draft")
        draft.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        draft.replace(REPORT)


def _describe(proof: Proof, commit: str, shown: Shown) -> dict[str, Any]:
    return {
        "title": proof.title,
        "shows": proof.shows,
        "unit": proof.unit,
        "wanted": shown.known,
        "command": f"make prove ARGS={proof.name}",
        "commit": commit,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores",
        "done": len(shown.ran),
        "numbers": ", ".join(_say(chunk) for chunk in shown.find_parts()),
        "took_s": round(shown.took_s, 1),
        "of_each": proof.of_each,
        **asdict(shown.tally),
    }


def _say(numbers: range) -> str:
    return str(numbers.start) if len(numbers) == 1 else f"{numbers.start} to {numbers[-1]}"


if __name__ == "__main__":
    sys.exit(main())
