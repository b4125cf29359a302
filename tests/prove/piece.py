"""What every proof of numbered pieces shares: its command line, and the JSON that `tests.prove` reads."""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

HIGHEST = ("most_", "longest_")


@dataclass(slots=True)
class Tally:
    """What pieces have shown so far."""

    figures: dict[str, float] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            old = self.figures.get(name, 0)
            self.figures[name] = max(old, value) if name.startswith(HIGHEST) else old + value


@dataclass(frozen=True, slots=True)
class Lived:
    """One piece: what should not have been so, and its figures."""

    faults: list[str]
    figures: Mapping[str, float]


def run_pieces(module: str, words: str | None, live: Callable[[int], Lived], arguments: list[str] | None = None) -> int:
    """The `main` of a proof. Numbers given by name are run one by one, else those from `--first` on."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=words)
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the figures as the last line")
    options = parser.parse_args(arguments)
    tally = live_all(module, [*options.seeds, *range(options.first, options.first + options.count)], live)
    if options.json:
        print(json.dumps({"figures": tally.figures, "failures": tally.failures}))
    else:
        print(", ".join(f"{value:,.0f} {name}" for name, value in sorted(tally.figures.items())))
    return 1 if tally.failures else 0


def live_all(module: str, seeds: Iterable[int], live: Callable[[int], Lived]) -> Tally:
    tally = Tally()
    for seed in seeds:
        try:
            lived = live(seed)
        except Exception as error:
            sys.stderr.write(traceback.format_exc())
            lived = Lived([f"{type(error).__name__}: {error}"], {})
        tally.add(lived.figures)
        if lived.faults:
            command = f"python -m {module} {seed}"
            tally.failures.append({"said": "; ".join(lived.faults)[:2000], "command": command})
            sys.stderr.write(f"{'; '.join(lived.faults)}\n  {command}\n")
    return tally
